"""The Kubernetes engine against a cluster that is slow, refuses, breaks and fails, and what it names of that."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from hub.engines.base import Engine, EngineError, PortBinding, Probe, ProbeKind, Reason, State, Verdict, WorkloadSpec
from hub.engines.kubernetes import KubernetesEngine, manifests
from hub.engines.kubernetes.examine import RIGHTS
from hub.engines.kubernetes.gateway import parse_kubeconfig
from hub.failpoints import FAILPOINTS, FailpointError
from hub.testing import wait_until

from .cluster import Cluster
from .cluster.role import DEPLOY, shipped_role
from .cluster.server import kubeconfig
from .harnesses import ECHOES_INPUT, EXITS_3, LIMITS, SLEEPER, Program

ENSURE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("kubernetes.ensure"))
REMOVE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("kubernetes.remove"))
GAME = PortBinding("game", "192.168.250.100", 25565, 25565)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def engine(cluster: Cluster) -> KubernetesEngine:
    return engine_of(cluster)


def engine_of(cluster: Cluster, **options: Any) -> KubernetesEngine:
    return KubernetesEngine(node="west", options={"credentials": {"kubeconfig": cluster.kubeconfig}, **options})


def spec_of(program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
    values: dict[str, Any] = {"kind": "server", "id": uuid.uuid4(), "generation": 1, "owner": "7", "limits": LIMITS}
    return WorkloadSpec(**{**values, "image": "busybox:1", "command": ("sh", "-c", program.script), **changes})


def run(engine: Engine, spec: WorkloadSpec) -> WorkloadSpec:
    engine.ensure(spec)
    wait_until(lambda: (seen := engine.inspect(spec.name)) and seen.is_running, what="a running workload")
    return spec


def told(engine: Engine, spec: WorkloadSpec, words: str) -> Any:
    """Wait until the workload says this of itself."""
    return wait_until(
        lambda: seen if (seen := engine.inspect(spec.name)) and words in seen.detail else None, what=repr(words)
    )


# What keeps a launch from running is named.


def test_an_image_that_no_registry_has_is_hopeless(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.missing_images.add("busybox:1")
    spec = spec_of()

    engine.ensure(spec)

    seen = told(engine, spec, "cannot be pulled")
    assert (seen.state, seen.obstacle.reason, seen.obstacle.permanent) == (State.CREATED, Reason.IMAGE_MISSING, True)


def test_a_crash_loop_is_an_exit_with_its_code(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = spec_of(EXITS_3)

    engine.ensure(spec)

    seen = wait_until(lambda: s if (s := engine.inspect(spec.name)) and s.state is State.EXITED else None)
    assert (seen.exit_code, seen.oom_killed, seen.restart_count) == (3, False, 1)


def test_out_of_memory_is_told(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = spec_of(EXITS_3)
    cluster.out_of_memory.add(spec.name)

    engine.ensure(spec)

    wait_until(lambda: (s := engine.inspect(spec.name)) and s.state is State.EXITED and s.oom_killed)


def test_a_crash_loop_is_started_anew_by_another_pod(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = spec_of(EXITS_3)
    engine.ensure(spec)
    wait_until(lambda: (s := engine.inspect(spec.name)) and s.state is State.EXITED)
    before = cluster.objects("pods")[0]["metadata"]["name"]

    engine.ensure(spec)

    wait_until(lambda: (pods := cluster.objects("pods")) and pods[0]["metadata"]["name"] != before, what="another pod")


def test_a_container_that_came_back_says_why_it_went(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of())
    pod = next(iter(cluster.pods.values()))
    assert pod.process is not None

    pod.process.kill()

    seen = told(engine, spec, "was started again by the cluster")
    wait_until(lambda: (s := engine.inspect(spec.name)) and s.is_running and s.restart_count == 1)
    assert "exit code -9" in seen.detail


def test_a_pod_over_the_quota_is_refused_in_words(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = manifests._hard
    monkeypatch.setattr(manifests, "_hard", lambda spec: {**hard(spec), "limits.memory": "1Mi"})
    spec = spec_of()

    engine.ensure(spec)

    seen = told(engine, spec, "exceeded quota")
    assert (seen.obstacle.reason, seen.obstacle.permanent) == (Reason.REFUSED, True)


def test_no_machine_with_room_is_told_and_waited_for(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.unschedulable = "0/1 nodes are available: 1 Insufficient memory."
    spec = spec_of()

    engine.ensure(spec)

    seen = told(engine, spec, "Insufficient memory")
    assert seen.obstacle is None


def test_an_address_that_is_not_given_yet_is_waited_for(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.address_seconds = 0.5
    spec = spec_of(ports=(GAME,))

    engine.ensure(spec)

    told(engine, spec, "Waiting for the load balancer to give 192.168.250.100")
    wait_until(lambda: engine.inspect(spec.name).is_running, what="an address")


def test_an_address_other_than_the_leased_one_is_named(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.other_address = "192.168.250.130"
    spec = spec_of(ports=(GAME,))

    engine.ensure(spec)

    seen = told(engine, spec, "gave 192.168.250.130 instead of the leased address 192.168.250.100")
    assert (seen.obstacle.reason, seen.obstacle.ip, seen.obstacle.port) == (Reason.ADDRESS_MISSING, GAME.ip, GAME.port)
    assert not seen.is_running


def test_workloads_share_an_address_on_other_ports_only(cluster: Cluster, engine: KubernetesEngine) -> None:
    run(engine, spec_of(ports=(GAME,)))
    run(engine, spec_of(ports=(replace(GAME, port=25566),)))
    third = spec_of(ports=(GAME,))

    engine.ensure(third)

    seen = told(engine, third, "port is already in use")
    assert seen.obstacle.reason is Reason.ADDRESS_TAKEN
    assert engine.probe_address(GAME.ip, GAME.port) == "", "a launch that was cut short finds its own"
    assert "used by the service" in engine_of(cluster, hub="east").probe_address(GAME.ip, GAME.port)


def test_a_move_to_another_address_leaves_the_old_one(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of(ports=(GAME,)))
    engine.kill(spec.name)
    wait_until(lambda: not engine.inspect(spec.name).is_running)

    run(engine, replace(spec, generation=2, ports=(replace(GAME, ip="192.168.250.101"),)))

    assert [service["metadata"]["name"] for service in cluster.objects("services")] == ["ip-192-168-250-101"]


def test_node_ports_of_others_are_told(cluster: Cluster) -> None:
    engine = engine_of(cluster, exposure="node_ports")
    port = PortBinding("game", "10.0.0.5", 30565, 25565)
    run(engine, spec_of(ports=(port,)))

    with pytest.raises(EngineError) as refused:
        engine.ensure(spec_of(ports=(port,)))

    assert (refused.value.reason, refused.value.port) == (Reason.ADDRESS_TAKEN, 30565)


def test_a_pool_that_the_node_names_must_have_the_address(cluster: Cluster) -> None:
    engine = engine_of(cluster, address_pool="loopback")

    with pytest.raises(EngineError) as missing:
        engine.probe_address(GAME.ip, GAME.port)
    engine.ensure(spec := spec_of(ports=(GAME,)))

    assert missing.value.reason is Reason.ADDRESS_MISSING
    told(engine, spec, "not compatible with requested address pool loopback")
    assert "no pool named nowhere" in verdicts(engine_of(cluster, address_pool="nowhere"))["Addresses"].found


def test_an_address_of_the_other_family_is_given(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.put("ipaddresspools", "metallb-system", "six", addresses=["fd00::100-fd00::1ff"])

    run(engine, spec_of(ports=(replace(GAME, ip="fd00::100"),)))

    assert cluster.objects("services")[0]["status"]["loadBalancer"]["ingress"] == [{"ip": "fd00::100"}]


def test_one_that_shares_is_not_let_onto_an_address_of_another_teams(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    run(engine, spec_of(ports=(GAME,), team="1"))
    run(engine, spec_of(ports=(replace(GAME, port=25566),), team="1"))
    other = spec_of(ports=(replace(GAME, port=25567),), team="2")

    engine.ensure(other)

    assert told(engine, other, "can't change sharing key").obstacle.reason is Reason.ADDRESS_TAKEN


def test_a_quota_that_is_not_counted_yet_is_waited_for(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.store.quota_seconds = 0.3

    spec = run(engine, spec_of(data_path="/data"))

    assert cluster.objects("persistentvolumeclaims", spec.name)


def test_a_quota_that_is_never_counted_is_no_lack_of_rights(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.engine.QUOTA_SECONDS", 0.1)
    cluster.store.quota_seconds = 60

    with pytest.raises(EngineError, match="not counted its quota yet") as failed:
        engine.ensure(spec_of(data_path="/data"))

    assert (failed.value.reason, failed.value.permanent) == (Reason.UNAVAILABLE, False)


def test_a_probe_says_whether_it_is_ready(cluster: Cluster, engine: KubernetesEngine) -> None:
    probe = Probe(ProbeKind.TCP, 25565)
    waiting = spec_of(probe=probe)
    cluster.unready.add(waiting.name)

    specs = [run(engine, spec) for spec in (spec_of(), spec_of(probe=probe), waiting)]

    assert [engine.inspect(spec.name).is_ready for spec in specs] == [None, True, False]


def test_its_image_is_told_as_the_very_one_that_was_found(cluster: Cluster, engine: KubernetesEngine) -> None:
    seen = engine.inspect(run(engine, spec_of(image="games/arena:1")).name)

    assert seen.image == f"docker.io/games/arena@{seen.image_digest}"
    assert seen.image_digest.startswith("sha256:")
    again = engine.inspect(run(engine, spec_of(image=seen.image)).name)
    assert again.image == seen.image


def test_without_a_way_to_pods_no_address_of_theirs_is_told(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of())

    assert engine.inspect(spec.name).host
    far = engine_of(cluster, reach_pods=False)
    assert far.inspect(spec.name).host == far.list_owned()[0].host == ""


# Deleting.


@pytest.mark.parametrize("how", ["ends early", "has lost its place", "410", "is refused", "breaks"])
def test_a_watch_that_ends_is_begun_again(cluster: Cluster, engine: KubernetesEngine, how: str) -> None:
    spec = run(engine, spec_of())
    cluster.delete_seconds = 0.5
    if how == "ends early":
        cluster.watch_seconds = 0.05
    elif how == "has lost its place":
        cluster.forgets = True
    elif how == "410":
        cluster.fail("watch", "namespaces", status=410, reason="Expired", times=2)
    elif how == "is refused":
        cluster.rules = shipped_role() - {("watch", "", "namespaces")}
    else:
        cluster.fail("watch", "namespaces", reset=True)

    engine.remove(spec.name)

    assert engine.inspect(spec.name) is None
    assert 1 <= cluster.requests.count(("watch", "namespaces")) <= 12, "it must not turn into a busy loop"


def test_waiting_for_an_end_costs_a_watch_and_not_a_stream_of_questions(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    spec = run(engine, spec_of())
    cluster.delete_seconds = 1
    cluster.requests.clear()

    engine.remove(spec.name)

    assert cluster.requests.count(("watch", "namespaces")) == 1
    assert cluster.requests.count(("get", "namespaces")) <= 3


def test_a_namespace_that_takes_its_time_is_not_gone_until_it_is_not_found(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.engine.GONE_SECONDS", 0.1)
    spec = run(engine, spec_of())
    cluster.stuck.add(spec.name)

    with pytest.raises(EngineError) as waiting:
        engine.remove(spec.name)
    going = engine.inspect(spec.name)
    with pytest.raises(EngineError, match="still being deleted"):
        engine.ensure(spec)
    cluster.stuck.clear()

    assert (waiting.value.reason, waiting.value.permanent) == (Reason.TIMED_OUT, False)
    assert (going.state, going.detail) == (State.EXITED, "The cluster is deleting it.")
    wait_until(lambda: engine.inspect(spec.name) is None, what="a namespace that is gone")


def test_a_namespace_that_is_stuck_says_after_five_minutes_what_holds_it(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    spec = run(engine, spec_of())
    cluster.stuck.add(spec.name)
    namespace = next(one for one in cluster.objects("namespaces") if one["metadata"]["name"] == spec.name)
    since = datetime.now(UTC) - timedelta(minutes=7)
    namespace["metadata"]["deletionTimestamp"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    message = "Some content in the namespace has finalizers remaining: example.org/lock in 1 resource instances"
    namespace["status"] = {
        "conditions": [{"type": "NamespaceFinalizersRemaining", "status": "True", "message": message}]
    }
    cluster.store.terminating_since[spec.name] = time.monotonic()

    seen = engine.inspect(spec.name)

    assert "for 7 minutes" in seen.detail
    assert "example.org/lock" in seen.detail


def test_a_namespace_of_somebody_else_is_left_alone(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = spec_of()
    cluster.put("namespaces", "", spec.name)

    for verb in (engine.inspect, engine.stop, engine.kill, engine.remove):
        with pytest.raises(EngineError, match="Somebody else"):
            verb(spec.name)

    assert any(one["metadata"]["name"] == spec.name for one in cluster.objects("namespaces"))


def test_another_hub_on_the_cluster_sees_its_own_only(cluster: Cluster, engine: KubernetesEngine) -> None:
    run(engine, spec_of())

    assert engine_of(cluster, hub="east").list_owned() == []


def test_a_sidecar_that_does_not_run_is_told(cluster: Cluster, engine: KubernetesEngine) -> None:
    from .test_engine_kubernetes_manifests import beside

    cluster.broken_sidecars.add("db")

    spec = run(engine, spec_of(sidecars=(beside(),)))

    assert engine.inspect(spec.name).detail == "Its container db does not run (CrashLoopBackOff)."


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
    cluster.fail(hang_seconds=3, times=None)
    begun = time.monotonic()

    with pytest.raises(EngineError) as failed:
        engine.list_owned()

    assert failed.value.reason is Reason.TIMED_OUT
    assert time.monotonic() - begun < 2


def test_nobody_there_is_unavailable(cluster: Cluster) -> None:
    credentials = {"kubeconfig": kubeconfig("http://127.0.0.1:9")}
    engine = KubernetesEngine(node="west", options={"credentials": credentials})

    with pytest.raises(EngineError) as failed:
        engine.list_owned()

    assert failed.value.reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("step", range(9))
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


# Credentials and rights.


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ({"exec": {"command": "reboot"}}, "`exec` is not taken"),
        ({"client-key": "/root/.ssh/id_rsa"}, "`client-key` is not taken"),
        ({"tokenFile": "/etc/shadow"}, "`tokenFile` is not taken"),
    ],
)
def test_a_kubeconfig_may_neither_run_programs_nor_read_files(user: dict[str, Any], told: str) -> None:
    config = yaml.safe_load(kubeconfig("http://127.0.0.1:9"))
    config["users"][0]["user"] = user

    with pytest.raises(EngineError, match=told):
        parse_kubeconfig(yaml.safe_dump(config))


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "just words",
        "clusters: 5",
        "{}",
        "a: 2001-13-45",
        "[" * 20_000,
        "9" * 5_000,
        "{clusters: [], contexts: [], users: 5}",
    ],
)
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    with pytest.raises(EngineError) as refused:
        parse_kubeconfig(text)

    assert refused.value.permanent


def test_without_kubeconfig_and_outside_a_cluster_nothing_works_and_it_says_so() -> None:
    with pytest.raises(EngineError, match="no kubeconfig") as failed:
        KubernetesEngine(node="west", options={}).list_owned()

    assert not failed.value.permanent


def test_the_role_we_ship_is_what_the_engine_asks_for_and_nothing_more(cluster: Cluster) -> None:
    """Every verb of the engine with all that can follow, under the shipped role; a real server wants one right more."""
    cluster.rules = shipped_role()
    engine = engine_of(cluster)
    ports = (GAME, replace(GAME, ip="192.168.250.101"))
    cluster.address_seconds = 1.5
    spec = run(engine, spec_of(ECHOES_INPUT, ports=ports, data_path="/data", secrets=("x",)))
    engine.send_input(spec.name, "news")
    engine.logs(spec.name)
    engine.usage()
    engine.list_owned()
    engine.probe_address(GAME.ip, GAME.port)
    engine.stop(spec.name)
    engine.kill(spec.name)
    wait_until(lambda: not engine.inspect(spec.name).is_running)
    smaller = replace(spec, generation=2, ports=(GAME,), limits=replace(LIMITS, disk_mb=32))
    run(engine, smaller)
    engine.remove(spec.name, keep_data=True)
    engine.tidy()
    engine.kept_data()
    cluster.delete_seconds = 0.3
    engine.remove(spec.name)
    engine.examine([])

    assert cluster.called | {("create", "", "pods/attach")} == shipped_role()
    assert {
        (v, group, resource) for (group, resource), verbs in RIGHTS.items() for v in verbs.split()
    } == shipped_role()


# The examination.


def verdicts(engine: KubernetesEngine, ips: tuple[str, ...] = ("192.168.250.100",)) -> dict[str, Any]:
    return {check.name: check for check in engine.examine(ips)}


def test_a_cluster_in_order_is_found_so(cluster: Cluster, engine: KubernetesEngine) -> None:
    for pool in cluster.objects("ipaddresspools"):
        pool["spec"]["autoAssign"] = False

    checks = verdicts(engine)

    assert {check.verdict for check in checks.values()} == {Verdict.GOOD}
    assert set(checks) == {"Version", "Rights", "Addresses", "Load balancers", "Usage", "Network policies"}
    wait_until(lambda: len(cluster.objects("namespaces")) == 1, what="the end of the throw-away namespaces")


@pytest.mark.parametrize(
    ("verdict", "expected", "words"),
    [
        ("open=yes closed=yes", Verdict.BAD, "Not enforced"),
        ("open=no closed=no", Verdict.UNKNOWN, "open port was not reached"),
    ],
)
def test_policies_that_nobody_enforces_are_found(
    cluster: Cluster, engine: KubernetesEngine, verdict: str, expected: Verdict, words: str
) -> None:
    cluster.network_verdict = verdict

    check = verdicts(engine)["Network policies"]

    assert check.verdict is expected
    assert words in check.found


def test_a_trial_that_cannot_run_is_unknown_not_good(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.examine.WAIT_SECONDS", 0.3)
    cluster.missing_images.add("busybox:1.37")

    check = verdicts(engine)["Network policies"]

    assert (check.verdict, "did not end in time" in check.found) == (Verdict.UNKNOWN, True)


def test_what_a_cluster_lacks_is_named_with_what_to_do(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.rules = shipped_role() - {("delete", "", "services")}
    cluster.version, cluster.has_metrics = "v1.25.1", False
    cluster.put("daemonsets", "kube-system", "svclb-traefik-1234")

    checks = verdicts(engine, ("192.168.250.100", "198.51.100.1"))

    assert "delete services" in checks["Rights"].found
    assert checks["Version"].verdict is Verdict.BAD
    assert "198.51.100.1" in checks["Addresses"].found
    assert "servicelb" in checks["Load balancers"].advice
    assert checks["Usage"].verdict is Verdict.UNKNOWN


def test_a_pool_that_others_can_eat_from_is_told(cluster: Cluster, engine: KubernetesEngine) -> None:
    assert "players" in verdicts(engine)["Addresses"].found


def test_the_pool_we_ship_is_the_31_addresses_and_nothing_else_gets_them() -> None:
    pool, advertisement = yaml.safe_load_all((DEPLOY / "metallb-pool.yaml").read_text())

    assert pool["spec"] == {"addresses": ["192.168.250.100-192.168.250.130"], "autoAssign": False}
    assert advertisement["spec"]["ipAddressPools"] == [pool["metadata"]["name"]]


def test_a_missing_right_is_named(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.rules = shipped_role() - {("create", "", "namespaces")}

    with pytest.raises(EngineError, match='cannot create resource "namespaces"') as refused:
        engine.ensure(spec_of())

    assert refused.value.permanent


def test_input_is_refused_where_it_is_not_permitted(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of(ECHOES_INPUT))
    cluster.rules = shipped_role() - {("get", "", "pods/attach")}

    with pytest.raises(EngineError, match='cannot get resource "pods/attach"') as refused:
        engine.send_input(spec.name, "news")

    assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)
    assert "Handshake" not in str(refused.value)


def test_what_a_trial_has_left_is_taken_away_by_the_next(cluster: Cluster, engine: KubernetesEngine) -> None:
    for name, made in (("hub-check-old", "2026-01-01T00:00:00Z"), ("hub-check-new", None)):
        left = cluster.put("namespaces", "", name)
        left["metadata"]["labels"] = {"kutanga.hub": "west-check"}
        left["metadata"]["creationTimestamp"] = made or left["metadata"]["creationTimestamp"]

    engine.examine([])

    wait_until(
        lambda: (
            {one["metadata"]["name"] for one in cluster.objects("namespaces")} == {"metallb-system", "hub-check-new"}
        ),
        what="the end of what was left",
    )


# The price.


def test_a_launch_costs_twelve_requests_at_most_and_a_sweep_three_lists(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    engine.ensure(spec_of(ports=(GAME,), data_path="/data", env={"A": "b"}))
    launch = list(cluster.requests)
    wait_until(lambda: all(seen.is_running for seen in engine.list_owned()), what="it")
    cluster.requests.clear()

    engine.list_owned()
    engine.tidy()

    assert len(launch) <= 12, launch
    assert cluster.requests == [("list", "namespaces"), ("list", "pods"), ("list", "services")]


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
