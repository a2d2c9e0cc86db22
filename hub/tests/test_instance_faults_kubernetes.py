"""Whoever looks after instances on a cluster is killed while he works, with Redis emptied; the next one goes on.

The cluster is our stand-in, which lives in this process and sees the dead worker's requests and no more.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.models.functions import Now

from challenges import services
from challenges.models import Instance
from challenges.tests.test_instances_kubernetes import OnCluster, open_arena, runs
from hub.failpoints import FAILPOINTS
from hub.nodes import crashes, ips, reconcile, steps
from hub.nodes.engines import engine_for
from hub.nodes.models import AddressRequest, Operation
from hub.nodes.sweep import sweep
from hub.testing import empty_queues, wait_until
from servers.tests.faults import ending_of, in_child, work

from .cluster import Cluster
from .cluster.role import shipped_role
from .kubernetes_helpers import run, spec_of

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

LAUNCH_POINTS = [
    "reconcile.before_hold",
    "reconcile.after_hold",
    "kubernetes.ensure.after_namespace",
    "kubernetes.ensure.before_deployment",
    "kubernetes.ensure.after_deployment",
    "reconcile.in_store",
]
END_POINTS = ["reconcile.before_remove", "reconcile.after_remove", "leases.after_release"]
TAKE_BACK_POINTS = ["reconcile.before_take_back", "reconcile.after_take_back"]
GIVE_UP_POINTS = ["reconcile.before_give_up", "reconcile.after_give_up"]
CALL_OFF_POINTS = ["reconcile.before_call_off", "reconcile.after_call_off"]
REMOVE_POINTS = ["kubernetes.remove.after_mark", "kubernetes.remove.after_contents"]


@pytest.fixture
def arena(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnCluster]:
    monkeypatch.setattr(steps, "LEASE_SECONDS", 0.7)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.2)
    for name in ("POLL_SECONDS", "START_POLL_SECONDS"):
        monkeypatch.setattr(reconcile, name, 0.2)
    cluster = Cluster(shipped_role())
    cluster.linger_seconds, cluster.store.reads_schemas = 0.0, False
    yield open_arena(cluster, teams=1)
    cluster.close()


def killed_at(point: str, arena: OnCluster, done: Callable[[], bool]) -> None:
    """Redis forgets all jobs, a worker dies at the point, and another does what is left."""
    empty_queues()
    assert ending_of(in_child(lambda: work(arena.node, done), failpoint=point)) == -signal.SIGKILL
    wait_until(lambda: not Instance.objects.filter(lease_until__gt=Now()).exists(), what="the end of all leases")
    work(arena.node, done)
    sweep(arena.node)


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_launch_on_a_cluster_survives_its_worker_and_the_queue(point: str, arena: OnCluster) -> None:
    instance = arena.launch(arena.teams[0], runs(arena.event, sidecar=True))
    line = arena.fresh(instance).connections

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "running")

    assert (arena.namespaces(), arena.fresh(instance).connections) == ({instance.engine_name}, line)
    assert arena.at(instance) == [(instance.engine_name, 8080)]
    assert len(arena.cluster.objects("pods")) == len(arena.cluster.objects("services")) == 1
    assert not Operation.objects.open().exists()


@pytest.mark.parametrize("point", END_POINTS)
def test_end_on_a_cluster_survives_its_worker_and_gives_the_address_to_rest_once(point: str, arena: OnCluster) -> None:
    instance = arena.launch(arena.teams[0], runs(arena.event))
    work(arena.node, lambda: arena.fresh(instance).observed_status == "running")
    services.stop_instance(instance, actor=arena.teams[0].captain)

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "deleted")

    assert arena.namespaces() == set()
    assert ips.count(arena.node) == {"free": 30, "leased": 0, "quarantined": 1, "blocked": 0, "waiting": 0}
    assert not Operation.objects.open().exists()
    assert not AddressRequest.objects.exists()


@pytest.mark.parametrize("point", TAKE_BACK_POINTS)
def test_launch_that_cannot_succeed_is_taken_back_by_the_next_worker(point: str, arena: OnCluster) -> None:
    arena.cluster.missing_images.add("kutanga/web:1")
    instance = arena.launch(arena.teams[0], runs(arena.event))

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "failed")

    assert "kutanga/web:1" in arena.fresh(instance).status_reason
    wait_until(lambda: arena.cluster.objects("pods") == [], what="the end of its pod")
    assert not Operation.objects.open().exists()


def test_launch_that_goes_slowly_when_it_is_taken_back_has_failed_for_its_own_reason(
    arena: OnCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.engine.GONE_SECONDS", 0.1)
    arena.cluster.missing_images.add("kutanga/web:1")
    arena.cluster.delete_seconds = 2
    instance = arena.launch(arena.teams[0], runs(arena.event))

    work(arena.node, lambda: arena.fresh(instance).observed_status in ("failed", "crashed"))
    sweep(arena.node)

    told = arena.fresh(instance)
    assert (told.observed_status, "kutanga/web:1" in told.status_reason) == ("failed", True)


@pytest.mark.parametrize("resource", ["services", "deployments"])
def test_launch_that_a_cluster_refuses_in_its_middle_leaves_nothing_there(resource: str, arena: OnCluster) -> None:
    arena.cluster.fail("patch", resource, status=422, message="no")
    instance = arena.launch(arena.teams[0], runs(arena.event))

    work(arena.node, lambda: arena.fresh(instance).observed_status == "failed")

    assert arena.fresh(instance).status_reason == "The cluster refused this: no"
    wait_until(lambda: arena.namespaces() == set(), what="an empty cluster")


@pytest.mark.parametrize("point", GIVE_UP_POINTS)
def test_restarts_without_end_are_ended_by_the_next_worker(
    point: str, arena: OnCluster, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HUB_SWEEP_SECONDS = 1
    monkeypatch.setattr(crashes, "GIVE_UP_AFTER", 1)
    arena.cluster.backoff_seconds = 0.2
    instance = arena.launch(arena.teams[0], runs(arena.event, command=["sh", "-c", "sleep 1; exit 3"]))

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "failed")

    assert "Given up" in arena.fresh(instance).status_reason
    wait_until(lambda: arena.cluster.objects("pods") == [], what="the end of its pod")


@pytest.mark.parametrize("point", CALL_OFF_POINTS)
def test_launch_that_is_called_off_on_its_way_is_ended_by_the_next_worker(point: str, arena: OnCluster) -> None:
    arena.cluster.ready_seconds = 60
    instance = arena.launch(arena.teams[0], runs(arena.event))
    work(arena.node, lambda: arena.fresh(instance).observed_status == "starting")
    services.stop_instance(instance, actor=arena.teams[0].captain, remove=False)

    killed_at(point, arena, lambda: arena.fresh(instance).observed_status == "stopped")

    wait_until(lambda: arena.cluster.objects("pods") == [], what="the end of its pod")
    assert not Operation.objects.open().exists()


@pytest.mark.parametrize("point", REMOVE_POINTS)
def test_removal_that_keeps_the_data_is_gone_on_with_by_the_next_agent(point: str, arena: OnCluster) -> None:
    """Instances have no data: this is a game server that the database does not know."""
    engine = engine_for(arena.node)
    server = run(engine, spec_of(data_path="/data"))

    ending = ending_of(in_child(lambda: sweep(arena.node), failpoint=point))
    held = [kept.name for kept in engine.kept_data()]
    sweep(arena.node)

    assert (ending, held) == (-signal.SIGKILL, [])
    assert ([kept.name for kept in engine.kept_data()], engine.inspect(server.name)) == ([server.name], None)
    assert arena.cluster.objects("pods") == []
    assert len(arena.cluster.objects("persistentvolumeclaims")) == 1


def test_whoever_works_is_killed_at_every_failpoint_of_the_engine() -> None:
    named = {*LAUNCH_POINTS, *REMOVE_POINTS}

    assert {name for name in FAILPOINTS if name.startswith("kubernetes.")} == {
        name for name in named if name.startswith("kubernetes.")
    }
