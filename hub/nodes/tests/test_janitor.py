"""The janitor: what is over goes by its labels alone, and nothing else does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from hub.engines.base import EngineError, Limits, Reason, WorkloadSpec
from hub.engines.fake import FakeEngine
from hub.nodes import agent as agents
from hub.nodes import janitor

NOW = datetime(2031, 5, 17, 12, tzinfo=UTC)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    FakeEngine.reset()
    yield FakeEngine(node="janitor", options={})
    FakeEngine.reset()


def run(engine: FakeEngine, ends: datetime | None) -> str:
    limits = Limits(memory_mb=64, cpu_percent=10, disk_mb=64)
    spec = WorkloadSpec(
        kind="instance", id=uuid.uuid4(), generation=1, owner="t", command=("x",), limits=limits, expires_at=ends
    )
    engine.ensure(spec)
    return spec.name


def test_only_what_is_over_for_a_while_goes(engine: FakeEngine):
    over = run(engine, NOW - timedelta(minutes=6))
    left = {run(engine, NOW - timedelta(minutes=4)), run(engine, NOW + timedelta(hours=1)), run(engine, None)}

    assert janitor.reap_expired(engine, NOW) == [over]
    assert {seen.name for seen in engine.list_owned()} == left


def test_one_that_cannot_be_removed_does_not_keep_the_others(engine: FakeEngine):
    names = {run(engine, NOW - timedelta(hours=1)) for _ in range(2)}
    engine.fail("remove", EngineError("busy", reason=Reason.INTERNAL))

    removed = janitor.reap_expired(engine, NOW)

    assert len(removed) == 1
    assert {seen.name for seen in engine.list_owned()} == names - set(removed)


def test_agent_calls_it_while_the_database_does_not_answer(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch):
    run(engine, datetime.now(UTC) - timedelta(hours=1))
    agent = agents.Agent("janitor", workers=0)
    agent.engine = engine

    agent.without_database(OperationalError("gone"))

    assert engine.list_owned() == []
