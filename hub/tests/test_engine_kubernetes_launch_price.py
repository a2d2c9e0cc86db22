"""What a launch costs the API server until it runs, however long that takes, and who tells when a watch does not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from hub.engines.base import Observation, PortBinding, Probe, ProbeKind, Reason, State, WorkloadSpec
from hub.engines.kubernetes import KubernetesEngine
from hub.engines.kubernetes.gateway import Gateway
from hub.engines.kubernetes.mirror import Mirror
from hub.testing import wait_until

from .cluster import Cluster
from .cluster.role import shipped_role
from .kubernetes_helpers import GAME, engine_of, run, spec_of
from .test_engine_kubernetes_manifests import beside

MOST_REQUESTS = 12
LOOKS = [("get", "namespaces"), ("list", "pods"), ("list", "services")]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def agent(cluster: Cluster) -> KubernetesEngine:
    return swept(engine_of(cluster))


def swept(engine: KubernetesEngine) -> KubernetesEngine:
    """As a sweep leaves it, once its watches are open."""
    engine.list_owned()
    engine.prepare()
    wait_until(lambda: engine.looks.mirror.is_live, what="watches")
    return engine


def launch(engine: KubernetesEngine, spec: WorkloadSpec, *, seconds: float = 60.0) -> Observation:
    """All that the hub asks for in a launch, with a look twice a second at least."""
    assert engine.inspect(spec.name) is None
    for port in spec.ports or (GAME,):
        assert engine.probe_address(port.ip, port.port) == ""
    engine.ensure(spec)
    return looked_at(engine, spec, seconds=seconds)


def looked_at(engine: KubernetesEngine, spec: WorkloadSpec, *, seconds: float = 60.0) -> Observation:
    deadline = time.monotonic() + seconds
    while not ((seen := engine.inspect(spec.name)) and seen.is_running and seen.is_ready is not False):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"data_path": "/data", "env": {"A": "b"}, "probe": Probe(ProbeKind.TCP, port=25565)},
        {"files": {"/flag": "x"}, "env": {"A": "b"}, "sidecars": (beside(),)},
        {"data_path": "/data", "env": {"A": "b"}, "sidecars": (beside(),)},
    ],
)
def test_a_whole_launch_costs_twelve_requests_however_long_it_takes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """Registries' credentials always: they are one more object."""
    registries = [{"registry": "ghcr.io", "username": "me", "password": "secret"}]
    agent = swept(engine_of(cluster, credentials={"kubeconfig": cluster.kubeconfig, "registries": registries}))
    monkeypatch.setattr("hub.engines.kubernetes.looks.FIRST_QUESTION_SECONDS", 60)  # the stand-in's pods may be late
    cluster.ready_seconds, cluster.address_seconds = 4, 1
    cluster.requests.clear()
    begun = time.monotonic()

    ports = [replace(GAME, name=f"p{number}", port=GAME.port + number) for number in range(3)]
    seen = launch(agent, spec_of(ports=ports, **changes))

    assert seen.state is State.RUNNING
    assert time.monotonic() - begun > 4
    assert len(cluster.requests) <= MOST_REQUESTS, cluster.requests


def test_what_has_just_started_is_looked_at_for_nothing_and_what_has_ended_is_not(
    cluster: Cluster, agent: KubernetesEngine
) -> None:
    spec = spec_of()
    launch(agent, spec)
    cluster.requests.clear()

    young = agent.inspect(spec.name)
    asked = list(cluster.requests)
    agent.stop(spec.name)
    ended = wait_until(
        lambda: seen if (seen := agent.inspect(spec.name)) and not seen.is_running else None, what="its end"
    )

    assert (young.state, asked) == (State.RUNNING, [])
    assert ended.state is State.EXITED
    assert LOOKS[0] in cluster.requests


def test_an_old_workload_is_looked_at_in_the_cluster_itself(
    cluster: Cluster, agent: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    spec = spec_of()
    launch(agent, spec)
    monkeypatch.setattr("hub.engines.kubernetes.looks.YOUNG", timedelta(0))
    cluster.requests.clear()

    assert agent.inspect(spec.name).is_running

    assert cluster.requests == LOOKS[:2]


@pytest.mark.parametrize("how", ["is refused", "ends", "has lost its place", "410", "breaks"])
def test_without_its_watches_the_cluster_is_asked(cluster: Cluster, how: str) -> None:
    engine = engine_of(cluster)
    if how == "is refused":
        cluster.rules = shipped_role() - {("watch", "", "pods")}
    elif how == "ends":
        cluster.watch_seconds = 0.05
    elif how == "has lost its place":
        cluster.forgets = True
    elif how == "410":
        cluster.fail("watch", "pods", status=410, reason="Expired", times=None)
    else:
        cluster.fail("watch", "pods", reset=True, times=None)
    engine.list_owned()
    engine.prepare()
    wait_until(lambda: not engine.looks.mirror._pods._watch.is_alive(), what="the end of the watch")

    seen = launch(engine, spec_of())

    assert not engine.looks.mirror.is_live
    assert seen.state is State.RUNNING
    assert cluster.requests.count(LOOKS[1]) > 1
    assert len([one for one in cluster.requests if one[0] == "watch"]) == 3, "the next sweep opens them, nobody else"


def test_the_next_sweep_opens_what_has_ended_and_no_more(cluster: Cluster) -> None:
    engine = engine_of(cluster)
    cluster.fail("watch", "pods", status=410, reason="Expired")
    engine.list_owned()
    engine.prepare()
    mirror = engine.looks.mirror
    wait_until(lambda: not mirror._pods._watch.is_alive(), what="the end of a watch that is refused")
    wait_until(lambda: mirror._namespaces.is_live and mirror._services.is_live, what="the others")
    blind = engine.looks.mirror.is_live

    swept(engine)

    assert not blind
    assert sorted(one for one in cluster.requests if one[0] == "watch") == [
        ("watch", "namespaces"),
        ("watch", "pods"),
        ("watch", "pods"),
        ("watch", "services"),
    ]


def test_a_sweep_tells_what_a_silent_connection_keeps(cluster: Cluster, agent: KubernetesEngine) -> None:
    cluster.is_silent = True
    cluster.may_run.clear()
    spec = spec_of()
    agent.ensure(spec)
    swept(agent)
    cluster.may_run.set()
    wait_until(lambda: engine_of(cluster).inspect(spec.name).is_running, what="a running workload")

    before = agent.inspect(spec.name).state
    swept(agent)

    assert before is State.CREATED
    assert agent.inspect(spec.name).state is State.RUNNING


def test_a_forked_child_looks_for_itself(
    cluster: Cluster, agent: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mother = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: mother + 1)

    assert not agent.looks.mirror.is_live


def test_a_pod_that_admission_refuses_is_asked_for_after_a_while(
    cluster: Cluster, agent: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.looks.FIRST_QUESTION_SECONDS", 0.3)
    fault = "exceeded quota: bounds, requested: pods=1"
    monkeypatch.setattr("hub.tests.cluster.store.Store.pod_fault", lambda *_: fault)
    spec = spec_of()
    agent.ensure(spec)
    wait_until(lambda: agent.looks.mirror.view(spec.name) is not None, what="it in the mirror")
    cluster.requests.clear()

    seen = wait_until(
        lambda: found if (found := agent.inspect(spec.name)).obstacle else None, what="why there is no pod"
    )
    asked = list(cluster.requests)
    for _ in range(3):
        agent.inspect(spec.name)

    assert (seen.obstacle.reason, seen.obstacle.permanent) == (Reason.REFUSED, True)
    assert fault in seen.detail
    assert cluster.requests == asked == [("get", "deployments")]


def test_an_address_that_is_not_given_is_asked_for_after_a_while(
    cluster: Cluster, agent: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.looks.FIRST_QUESTION_SECONDS", 0.3)
    cluster.fail("list", "ipaddresspools", status=403, times=99)
    far = PortBinding("game", "203.0.113.7", 25565, 25565)
    spec = spec_of(ports=(far,))
    agent.ensure(spec)
    wait_until(lambda: agent.looks.mirror.view(spec.name) is not None, what="it in the mirror")
    cluster.requests.clear()

    seen = wait_until(
        lambda: found if "not allowed" in str(found := agent.inspect(spec.name).obstacle) else None, what="the reason"
    )

    assert (seen.reason, seen.ip) == (Reason.UNAVAILABLE, "")
    assert set(cluster.requests) == {("list", "events")}


# What is newer wins, wherever it comes from.


class Told(Gateway):
    """A gateway whose watches say what a test says, and stay open."""

    def __init__(self) -> None:
        super().__init__("")

    def watch(self, resource: Any, namespace: str = "", **how: Any) -> Iterator[dict[str, Any]]:
        how["on_open"]()
        time.sleep(600)
        yield from ()


def one(name: str, version: int, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "resourceVersion": str(version)}
    return {"metadata": metadata, **more}


def namespace(version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": "n", "resourceVersion": str(version)}}


def versions(mirror: Mirror) -> dict[str, str]:
    view = mirror.view("n")
    assert view is not None
    return {pod["metadata"]["name"]: pod["metadata"]["resourceVersion"] for pod in view.pods}


@pytest.fixture
def mirror() -> Mirror:
    made = Mirror(Told(), "a=b")
    made.fill(([namespace()], "10"), ([one("a", 5), one("b", 6)], "10"), ([], "10"))
    wait_until(lambda: made.is_live, what="watches")
    return made


def test_what_a_list_does_not_have_is_gone_unless_it_came_later(mirror: Mirror) -> None:
    mirror._pods.take({"type": "ADDED", "object": one("c", 12)})

    mirror.fill(([namespace()], "11"), ([one("b", 6)], "11"), ([], "11"))

    assert versions(mirror) == {"b": "6", "c": "12"}


def test_what_a_watch_has_told_is_not_undone_by_an_older_list(mirror: Mirror) -> None:
    mirror._pods.take({"type": "MODIFIED", "object": one("a", 13)})
    mirror._pods.take({"type": "DELETED", "object": one("b", 14)})

    mirror.fill(([namespace()], "12"), ([one("a", 5), one("b", 6)], "12"), ([], "12"))

    assert versions(mirror) == {"a": "13"}


def test_an_event_that_comes_late_changes_nothing(mirror: Mirror) -> None:
    mirror.fill(([namespace()], "20"), ([one("a", 15)], "20"), ([], "20"))

    mirror._pods.take({"type": "MODIFIED", "object": one("a", 13)})

    assert versions(mirror) == {"a": "15"}


def test_versions_that_cannot_be_compared_leave_the_mirror_blind() -> None:
    blind = Mirror(Told(), "a=b")

    blind.fill(([namespace()], "x10"), ([], "x10"), ([], "x10"))

    assert not blind.is_live


def test_only_what_a_sweep_has_listed_is_watched(cluster: Cluster) -> None:
    """Jobs come and go: each would pay for watches that it never reads."""
    engine = engine_of(cluster)

    run(engine, spec_of())
    engine.prepare()

    assert not [one for one in cluster.requests if one[0] == "watch"]
