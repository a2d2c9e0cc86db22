"""Instances of several containers on a real Docker Engine: agents killed, Redis emptied, the daemon restarted.

Here because it takes the arena of challenges and the fault tools of servers, which do not know each other.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models.functions import Now

from challenges import flags, services
from challenges.models import Instance
from challenges.tests.docker_arena import ROW, SHOP, Docker, open_docker_arena, page, runs
from hub.failpoints import FAILPOINTS
from hub.nodes import reconcile, steps
from hub.nodes.choices import PoolKind
from hub.nodes.models import Address, Operation
from hub.nodes.sweep import sweep
from hub.testing import empty_queues, wait_until
from hub.tests.dockerd import PrivateDaemon, inside
from servers.tests.faults import ending_of, in_child, work

pytestmark = [pytest.mark.docker, pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

KILLED = -signal.SIGKILL
PATIENCE = 60.0
STAGES: dict[str, Callable[[Docker, Instance], object]] = {
    "launch": lambda arena, instance: None,
    "redeploy": lambda arena, instance: services.reset_instance(instance, actor=arena.teams[0].captain),
    "restart": lambda arena, instance: services.reset_instance(instance, actor=arena.teams[0].captain, kind="restart"),
    "end": lambda arena, instance: services.stop_instance(instance, actor=arena.teams[0].captain),
}
LAUNCHES = {"launch"}
ENDS = {"launch", "end"}
REMOVALS = {"redeploy", "end"}

# In which stages of an instance's life an agent is killed at each failpoint that touches an engine; the others are
# passed with the fake engine in test_instance_faults.py.
KILLED_IN: dict[str, set[str]] = {
    "docker.ensure.after_create": {"launch", "redeploy", "restart"},
    "reconcile.after_pull": LAUNCHES,
    "docker.ensure.after_replace": {"restart"},
    "docker.ensure.after_volume": LAUNCHES,
    "docker.ensure.after_start": LAUNCHES,
    "reconcile.after_ensure": LAUNCHES,
    "docker.remove.after_container": REMOVALS,
    "docker.remove.after_volume": REMOVALS,
    "reconcile.before_remove": {"end"},
    "reconcile.after_remove": {"end"},
    "leases.after_release": {"end"},
    "reconcile.in_store": ENDS,
}
QUICK = {"docker.ensure.after_create"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    # One agent at a time, so nobody takes a lease that has run out under a live one.
    monkeypatch.setattr(steps, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.3)


@pytest.fixture
def arena() -> Iterator[Docker]:
    with open_docker_arena(teams=1) as arena:
        yield arena


def has_come(arena: Docker, instance: Instance, stage: str) -> bool:
    """Whether it is as the stage wants it, of the generation that was asked for last."""
    now = arena.fresh(instance)
    return now.observed_status == ("deleted" if stage == "end" else "running") and not Operation.objects.open().exists()


def recover(arena: Docker, done: Callable[[], bool]) -> None:
    """What the next agent does."""
    wait_until(lambda: not Instance.objects.filter(lease_until__gt=Now()).exists(), what="the end of all leases")
    work(arena.node, done, seconds=PATIENCE)
    sweep(arena.node)


def containers(arena: Docker) -> dict[str, tuple[str, int]]:
    """State and generation of every container there is, by name."""
    label = {"label": [f"kutanga.namespace={arena.docker.names.namespace}"]}
    found = arena.docker.client.api.containers(all=True, filters=label)
    return {one["Names"][0].lstrip("/"): (one["State"], int(one["Labels"]["kutanga.generation"])) for one in found}


def leased(arena: Docker) -> Counter[str]:
    """How many whole addresses and networks somebody has."""
    rows = Address.objects.filter(node=arena.node, port=None, state="leased")
    return Counter(rows.values_list("pool__kind", flat=True))


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if p in QUICK else [pytest.mark.slow]) for p in KILLED_IN])
def test_agent_killed_at_any_stage_of_an_instance_with_a_database_and_redis_emptied(arena: Docker, point: str) -> None:
    challenge = runs(arena.event, SHOP, sidecar=True)
    instance = arena.launch(arena.teams[0], challenge)
    flag = flags.flag_for(challenge.flags.get(), arena.teams[0], arena.event)
    line = arena.fresh(instance).connections[0]
    expires_at = None
    killed = set()

    for stage in [stage for stage in STAGES if stage == "launch" or stage in KILLED_IN[point]]:
        STAGES[stage](arena, instance)
        empty_queues()
        done = lambda: has_come(arena, instance, stage)  # noqa: B023, E731
        ending = ending_of(in_child(lambda: work(arena.node, done, seconds=PATIENCE), failpoint=point), PATIENCE)  # noqa: B023
        killed |= {stage} if ending == KILLED else set()
        recover(arena, done)

        now = arena.fresh(instance)
        if stage == "end":
            assert arena.traces() == set()
            assert leased(arena) == {}
            continue
        names = {instance.engine_name, f"{instance.engine_name}-db"}
        assert containers(arena) == dict.fromkeys(names, ("running", now.generation)), stage
        assert len([name for name in arena.traces() if name not in names]) == 1, "one network"
        assert leased(arena) == {PoolKind.LOAD_BALANCER: 1, PoolKind.SUBNETS: 1}
        assert (now.connections[0], now.restart_count) == (line, 0)
        assert all(text in page(line.url) for text in (flag, ROW))
        assert (expires_at := expires_at or now.expires_at) == now.expires_at

    assert killed == KILLED_IN[point]


def test_every_failpoint_of_the_engine_is_passed_by_instances() -> None:
    assert {name for name in FAILPOINTS if name.startswith("docker.")} == {
        name for name in KILLED_IN if name.startswith("docker.")
    }


@pytest.mark.slow
def test_daemon_restarted_under_instances_gives_them_back_with_flag_address_and_time() -> None:
    daemon = PrivateDaemon()
    try:
        daemon.start()
        daemon.load("busybox")
        with inside(daemon), open_docker_arena(teams=2, daemon=daemon) as arena:
            challenge = runs(arena.event, SHOP, sidecar=True)
            made = [arena.launch(team, challenge) for team in arena.teams]
            work(arena.node, lambda: all(has_come(arena, one, "launch") for one in made), seconds=PATIENCE)
            before = [facts(arena, one) for one in made]

            for end in (daemon.stop, daemon.kill):
                end()
                away = sweep(arena.node)
                empty_queues()
                daemon.start()
                wait_until(lambda: sweep(arena.node).error == "", PATIENCE, what="the daemon")
                work(arena.node, lambda: all(answers(arena, one) for one in made), seconds=PATIENCE)

                assert "Docker" in away.error
                assert [facts(arena, one) for one in made] == before
    finally:
        daemon.close()


def facts(arena: Docker, instance: Instance) -> tuple[Any, ...]:
    """What a team sees of its instance, and the crashes that were counted."""
    now = arena.fresh(instance)
    return now.observed_status, now.connections, now.expires_at, now.restart_count


def answers(arena: Docker, instance: Instance) -> bool:
    """Whether its page shows the flag and what its database says."""
    now = arena.fresh(instance)
    flag = flags.flag_for(now.challenge.flags.get(), now.team, arena.event)
    told = page(now.connections[0].url)
    return now.observed_status == "running" and flag in told and ROW in told
