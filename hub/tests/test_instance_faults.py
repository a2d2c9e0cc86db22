"""Whoever looks after instances is killed while he works, with Redis emptied; the next one finds everything again.

Here because it takes the arena of challenges and the fault tools of servers, which do not know each other.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models.functions import Now

from challenges import flags, services
from challenges.models import Instance
from challenges.tests.arena import Arena, leased_ips, make_arena, runnable
from hub.engines.fake import FakeEngine
from hub.nodes import ips, reconcile, steps
from hub.nodes.models import AddressRequest, Operation
from hub.testing import empty_queues, wait_until
from servers.tests.faults import ending_of, in_child, work

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

LAUNCH_POINTS = ["reconcile.after_claim", "reconcile.before_pull", "reconcile.before_ensure", "reconcile.after_ensure"]
STORE_POINTS = ["reconcile.before_store", "reconcile.in_store", "reconcile.after_store"]
END_POINTS = ["reconcile.before_remove", "reconcile.after_remove", "leases.after_release", "reconcile.in_store"]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(steps, "LEASE_SECONDS", 0.7)
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.3)
    FakeEngine.reset()
    yield
    FakeEngine.reset()


def killed_at(point: str, arena: Arena, done: Callable[[], bool]) -> None:
    """Redis forgets all jobs, a worker dies at the point, and another does what is left."""
    empty_queues()
    assert ending_of(in_child(lambda: work(arena.node, done), failpoint=point)) == -signal.SIGKILL
    wait_until(lambda: not Instance.objects.filter(lease_until__gt=Now()).exists(), what="the end of all leases")
    work(arena.node, done)


def quick_first(points: list[str]) -> list[Any]:
    return [points[0], *(pytest.param(point, marks=pytest.mark.slow) for point in points[1:])]


@pytest.mark.parametrize("point", quick_first([*LAUNCH_POINTS, *STORE_POINTS]))
def test_launch_survives_its_worker_and_the_queue(point: str) -> None:
    arena = make_arena(teams=1)
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    line = arena.fresh(instance).connections

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "running")

    spec = arena.engine.state.workloads[instance.engine_name].spec
    assert spec.env["FLAG"] == flags.flag_for(challenge.flags.get(), arena.teams[0], arena.event)
    assert arena.fresh(instance).connections == line
    assert (len(arena.engine.list_owned()), len(leased_ips(arena.node))) == (1, 1)
    assert not Operation.objects.open().exists()


@pytest.mark.parametrize("point", quick_first(END_POINTS))
def test_end_survives_its_worker_and_gives_the_address_to_rest_once(point: str) -> None:
    arena = make_arena(teams=1)
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    work(arena.node, lambda: arena.fresh(instance).observed_status == "running")
    services.stop_instance(instance, actor=arena.teams[0].captain)

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "deleted")

    assert arena.engine.list_owned() == []
    assert ips.count(arena.node) == {"free": 30, "leased": 0, "quarantined": 1, "blocked": 0, "waiting": 0}
    assert not Operation.objects.open().exists()
    assert not AddressRequest.objects.exists()
