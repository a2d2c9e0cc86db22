"""What an instance says of itself to an engine that asks by itself and announces addresses, and what comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from challenges.instances import launching
from hub.engines.base import LABEL_TEAM, Observation, Probe, ProbeKind, WorkloadSpec, labels_for
from hub.engines.fake import FakeEngine

from .arena import Arena, make_arena, runnable

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_engine() -> None:
    FakeEngine.reset()


def launched(arena: Arena, **of_container: str) -> tuple[WorkloadSpec, Observation]:
    instance = arena.launch(arena.teams[0], runnable(arena.event, **of_container))
    arena.work()
    seen = arena.engine.inspect(instance.engine_name)
    assert seen is not None
    return arena.engine.state.workloads[instance.engine_name].spec, seen


@pytest.mark.parametrize(
    ("asked", "probe"),
    [
        ({"health_kind": "tcp"}, Probe(ProbeKind.TCP, 8080)),
        ({"health_kind": "http", "health_path": "/up"}, Probe(ProbeKind.HTTP, 8080, "/up")),
        ({"health_kind": "none"}, None),
    ],
)
def test_the_authors_check_is_told_as_a_probe(asked: dict[str, str], probe: Probe | None) -> None:
    spec, _ = launched(make_arena(teams=1), **asked)

    assert spec.probe == probe


@pytest.mark.parametrize(("policy", "shared"), [("team", True), ("instance", False)])
def test_the_event_says_whether_a_teams_instances_share_an_address(policy: str, shared: bool) -> None:
    arena = make_arena(teams=1, address_policy=policy)

    spec, _ = launched(arena)

    assert spec.shares_address is shared
    assert labels_for(spec)[LABEL_TEAM] == str(arena.teams[0].pk)


@pytest.mark.parametrize("is_ready", [True, False])
def test_what_a_clusters_own_probe_says_is_what_counts(is_ready: bool) -> None:
    """The hub's own look would not reach a pod from outside of its cluster."""
    arena = make_arena(teams=1)
    _, seen = launched(arena)
    instance = arena.event.instances.get()
    instance.challenge.containers.update(health_kind="tcp")

    health = launching.check_health(instance, arena.engine, replace(seen, host="192.0.2.1", is_ready=is_ready))

    assert (health.is_ok, health.detail) == (is_ready, "" if is_ready else launching.NOT_READY)
