"""The Kubernetes engine when requests fail, answers are lost, and the agent dies on the way."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hub.engines.base import EngineError, Reason, State, WorkloadSpec
from hub.engines.kubernetes import KubernetesEngine
from hub.engines.kubernetes.errors import Raced
from hub.failpoints import FAILPOINTS, FailpointError
from hub.testing import wait_until

from .cluster import Cluster
from .cluster.server import kubeconfig
from .harnesses import ECHOES_INPUT, STUBBORN
from .kubernetes_helpers import GAME, engine_of, run, spec_of

ENSURE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("kubernetes.ensure"))
REMOVE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("kubernetes.remove"))


# Faults on the way.


@pytest.mark.parametrize(
    ("how", "reason", "permanent"),
    [
        ({"status": 500, "message": "etcd is away"}, Reason.UNAVAILABLE, False),
        ({"status": 503}, Reason.UNAVAILABLE, False),
        ({"status": 401}, Reason.UNAVAILABLE, False),
        ({"status": 403, "message": "cannot get resource"}, Reason.REFUSED, True),
        ({"status": 422, "message": "port"}, Reason.REFUSED, True),
        ({"status": 429, "retry_after": "60"}, Reason.UNAVAILABLE, False),
        ({"reset": True}, Reason.UNAVAILABLE, False),
        ({"text": "<html>login</html>"}, Reason.UNAVAILABLE, False),
    ],
)
@pytest.mark.parametrize("verb", ["ensure", "inspect", "list", "remove"])
def test_every_fault_is_an_error_of_the_hub(
    cluster: Cluster, engine: KubernetesEngine, verb: str, how: dict[str, Any], reason: Reason, permanent: bool
) -> None:
    spec = spec_of()
    calls: dict[str, Callable[[], Any]] = {
        "ensure": lambda: engine.ensure(spec),
        "inspect": lambda: engine.inspect(spec.name),
        "list": engine.list_owned,
        "remove": lambda: engine.remove(spec.name),
    }
    cluster.fail(times=None, **how)

    with pytest.raises(EngineError) as failed:
        calls[verb]()

    assert (failed.value.reason, failed.value.permanent) == (reason, permanent)


def test_a_busy_cluster_is_asked_again_when_it_says(cluster: Cluster, engine: KubernetesEngine) -> None:
    fault = cluster.fail("list", "namespaces", status=429, retry_after="1")
    begun = time.monotonic()

    assert engine.list_owned() == []

    assert fault.struck == 1
    assert time.monotonic() - begun >= 1


def test_a_list_whose_place_is_forgotten_is_begun_again(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.gateway.PAGE", 2)
    specs = [spec_of() for _ in range(5)]
    for spec in specs:
        engine.ensure(spec)
    cluster.fail("list", "namespaces", status=410, reason="Expired", skip=1)

    assert {seen.name for seen in engine.list_owned()} == {spec.name for spec in specs}


def test_a_cluster_that_hangs_costs_bounded_time(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.gateway.timeout_seconds = 0.5
    cluster.fail(hang_seconds=120, times=None)
    begun = time.monotonic()

    with pytest.raises(EngineError) as failed:
        engine.list_owned()

    assert failed.value.reason is Reason.TIMED_OUT
    assert time.monotonic() - begun < 60


def test_nobody_there_is_unavailable(cluster: Cluster) -> None:
    credentials = {"kubeconfig": kubeconfig("http://127.0.0.1:9")}
    engine = KubernetesEngine(node="west", options={"credentials": credentials})

    with pytest.raises(EngineError) as failed:
        engine.list_owned()

    assert failed.value.reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("step", range(8))
def test_a_launch_whose_answer_is_lost_is_finished_by_the_next(
    cluster: Cluster, engine: KubernetesEngine, step: int
) -> None:
    spec = spec_of(ports=(GAME,), data_path="/data")
    cluster.fail("create" if step == 0 else "patch", reset=True, after=True, skip=max(0, step - 1))

    with pytest.raises(EngineError):
        engine.ensure(spec)
    run(engine_of(cluster), spec)

    assert len(cluster.objects("pods")) == 1
    engine.remove(spec.name)
    assert engine.inspect(spec.name) is None


@pytest.mark.parametrize("point", ENSURE_POINTS)
def test_a_launch_cut_short_is_finished_by_the_next(
    cluster: Cluster, engine: KubernetesEngine, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(data_path="/data")
    monkeypatch.setenv("HUB_FAILPOINT", f"{point}=raise")

    with pytest.raises(FailpointError):
        engine.ensure(spec)
    monkeypatch.delenv("HUB_FAILPOINT")
    run(engine_of(cluster), spec)

    assert len(cluster.objects("pods")) == 1


@pytest.mark.parametrize("point", REMOVE_POINTS)
def test_a_removal_cut_short_is_finished_by_tidying_up(
    cluster: Cluster, engine: KubernetesEngine, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = run(engine, spec_of(data_path="/data"))
    monkeypatch.setenv("HUB_FAILPOINT", f"{point}=raise")

    with pytest.raises(FailpointError):
        engine.remove(spec.name, keep_data=True)
    monkeypatch.delenv("HUB_FAILPOINT")
    engine.tidy()

    assert engine.inspect(spec.name) is None
    assert [kept.name for kept in engine.kept_data()] == [spec.name]
    assert cluster.objects("pods") == cluster.objects("deployments") == cluster.objects("secrets") == []


def test_a_stop_cut_short_is_finished_by_the_next(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of())
    cluster.fail("patch", "deployments", status=500)

    with pytest.raises(EngineError):
        engine.stop(spec.name)
    engine.stop(spec.name)

    wait_until(lambda: engine.inspect(spec.name).state is State.EXITED, what="an end")


def test_what_was_asked_to_end_says_so_as_long_as_it_runs(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of(STUBBORN))
    before = engine.inspect(spec.name)

    engine.stop(spec.name)

    seen = engine.inspect(spec.name)
    assert (before.is_running, before.is_ending, seen.is_running, seen.is_ending) == (True, False, True, True)
    engine.kill(spec.name)


def test_a_restart_cut_short_is_finished_by_the_next(cluster: Cluster, engine: KubernetesEngine) -> None:
    """What the last run has left, its deployment of no pods among it, is not taken for this one's."""
    spec = run(engine, spec_of(data_path="/data", env={"A": "b"}))
    engine.stop(spec.name)
    wait_until(lambda: engine.inspect(spec.name).state is State.EXITED, what="an end")
    again = replace(spec, generation=2)
    cluster.fail("patch", "secrets", status=500)

    with pytest.raises(EngineError):
        engine.ensure(again)
    run(engine_of(cluster), again)

    assert engine.inspect(spec.name).generation == 2


def test_tidying_up_leaves_what_runs_again_alone(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of(data_path="/data"))
    (home,) = (one for one in cluster.objects("namespaces") if one["metadata"]["name"] == spec.name)
    home["metadata"]["labels"]["kutanga.kept"] = "removing"
    engine.list_owned()
    run(engine_of(cluster), replace(spec, generation=2))

    engine.tidy()

    assert engine.inspect(spec.name).is_running


def test_a_removal_gives_way_to_who_starts_it_meanwhile(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of(data_path="/data"))
    stale = engine.looks.look(spec.name)
    assert stale is not None
    engine.stop(spec.name)
    wait_until(lambda: engine.inspect(spec.name).state is State.EXITED, what="an end")
    run(engine, replace(spec, generation=2))

    for change in (lambda: engine.ends.keep(stale), lambda: engine.ends.note_seen(stale, {"code": 0})):
        with pytest.raises(Raced):
            change()

    assert engine.inspect(spec.name).is_running


def test_a_console_that_is_not_opened_costs_bounded_time(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of(ECHOES_INPUT))
    engine.gateway.timeout_seconds = 1
    cluster.fail("get", "pods/attach", hang_seconds=120)
    begun = time.monotonic()

    with pytest.raises(EngineError):
        engine.send_input(spec.name, "news")

    assert time.monotonic() - begun < 60


# The whole.


@pytest.mark.slow
def test_a_hundred_creations_and_deletions_with_faults_end_as_asked(cluster: Cluster) -> None:
    dice = random.Random(7)  # noqa: S311 - the same faults each time
    cluster.linger_seconds, cluster.store.reads_schemas = 0.02, False
    faults = (
        {"status": 500},
        {"status": 503},
        {"reset": True},
        {"reset": True, "after": True},
        {"status": 409, "reason": "Conflict"},
    )
    wanted: dict[str, WorkloadSpec] = {}
    ports = iter(range(25566, 26000))
    gone: list[str] = []
    for turn in range(100):
        cluster.fail(skip=dice.randrange(12), **dice.choice(faults))
        if wanted and turn % 2:
            name = dice.choice(sorted(wanted))
            attempts(lambda name=name: engine_of(cluster).remove(name))
            gone.append(name)
            del wanted[name]
        else:
            spec = spec_of(ports=(replace(GAME, port=next(ports)),), id=uuid.UUID(int=dice.getrandbits(128), version=4))
            attempts(lambda spec=spec: engine_of(cluster).ensure(spec))
            wanted[spec.name] = spec
        if turn % 10 == 9:
            keep = dice.choice(sorted(wanted)) if wanted else ""
            gone += [name for name in wanted if name != keep]
            for name in [name for name in wanted if name != keep]:
                attempts(lambda name=name: engine_of(cluster).remove(name))
                del wanted[name]
    cluster.faults.clear()
    engine = engine_of(cluster)

    wait_until(lambda: all(seen.is_running for seen in engine.list_owned()), what="everything running")

    assert {seen.name for seen in engine.list_owned()} == set(wanted)
    services = {one["metadata"]["namespace"]: one["spec"]["ports"][0]["port"] for one in cluster.objects("services")}
    assert services == {name: spec.ports[0].port for name, spec in wanted.items()}
    assert len(gone) + len(wanted) >= 50
    assert {one["metadata"]["name"] for one in cluster.objects("namespaces")} == {*wanted, "metallb-system"}


def attempts(act: Callable[[], Any]) -> None:
    """As the hub does: again, until it works."""
    for _ in range(20):
        try:
            act()
        except EngineError as error:
            if error.permanent:
                raise
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it never worked")
