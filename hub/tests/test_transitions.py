"""Status changes that only one may win."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db.models.functions import Now

from hub.exceptions import Conflict
from hub.models import PeriodicRun
from hub.transitions import Transitions

OUTCOMES = Transitions("outcome", {"waiting": ["running", "lost"], "running": ["done", "failed"]})


@pytest.fixture
def run(db: None) -> PeriodicRun:
    return PeriodicRun.objects.create(task="t", due_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_table_refuses_an_arrow_it_does_not_have() -> None:
    with pytest.raises(Conflict, match="outcome cannot go from waiting to done") as refused:
        OUTCOMES.check("waiting", "done")

    assert refused.value.code == "illegal_transition"


def test_staying_is_always_allowed() -> None:
    assert OUTCOMES.allows("done", "done")
    assert not OUTCOMES.allows("done", "waiting")


def test_apply_moves_row_and_instance_and_sets_values(run: PeriodicRun) -> None:
    moved = OUTCOMES.apply(run, "running", error="none yet")

    assert moved
    assert (run.outcome, run.error) == ("running", "none yet")
    assert PeriodicRun.objects.get().outcome == "running"


def test_apply_refuses_an_arrow_and_touches_nothing(run: PeriodicRun) -> None:
    with pytest.raises(Conflict):
        OUTCOMES.apply(run, "done")

    assert (run.outcome, PeriodicRun.objects.get().outcome) == ("waiting", "waiting")


def test_second_of_two_who_saw_the_same_status_loses(run: PeriodicRun) -> None:
    twin = PeriodicRun.objects.get()

    assert OUTCOMES.apply(run, "running")
    assert not OUTCOMES.apply(twin, "lost")
    assert (twin.outcome, PeriodicRun.objects.get().outcome) == ("waiting", "running")


def test_guard_is_part_of_the_condition(run: PeriodicRun) -> None:
    assert not OUTCOMES.apply(run, "running", guard={"task": "another"})
    assert OUTCOMES.apply(run, "running", guard={"task": "t"})


def test_value_of_an_expression_is_fetched(run: PeriodicRun) -> None:
    OUTCOMES.apply(run, "running", started_at=Now())

    assert isinstance(run.started_at, datetime)
