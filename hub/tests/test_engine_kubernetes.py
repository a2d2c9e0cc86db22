"""The Kubernetes engine against a cluster that is slow, refuses, breaks and fails, and what it names of that."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hub.engines.base import EngineError, PortBinding, Probe, ProbeKind, Reason, State
from hub.engines.kubernetes import KubernetesEngine, manifests
from hub.engines.kubernetes.observe import View, _without_pod
from hub.nodes import janitor
from hub.testing import wait_until

from .cluster import Cluster
from .cluster.role import shipped_role
from .harnesses import EXITS_3
from .kubernetes_helpers import GAME, engine_of, run, spec_of, told, verdicts

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
    assert ("exit code -9" in seen.restart_cause, seen.detail) == (True, "")


def test_a_pod_over_the_quota_is_refused_in_words(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = manifests._hard
    monkeypatch.setattr(manifests, "_hard", lambda spec: {**hard(spec), "limits.memory": "1Mi"})
    spec = spec_of()

    engine.ensure(spec)

    seen = told(engine, spec, "exceeded quota")
    assert (seen.obstacle.reason, seen.obstacle.permanent) == (Reason.REFUSED, True)


@pytest.mark.parametrize(
    ("used", "is_final"),
    [("limits.cpu=1,limits.memory=512Mi", False), ("pods=0,limits.cpu=1", False), ("limits.cpu=0,pods=0", True)],
)
def test_a_quota_that_another_pod_uses_is_waited_for(
    engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch, used: str, is_final: bool
) -> None:
    """A machine that is drained: the cluster wants the next pod while the last one still has its grace."""
    quota = f"exceeded quota: bounds, requested: limits.cpu=1, used: {used}, limited: limits.cpu=1"
    monkeypatch.setattr("hub.tests.cluster.store.Store.pod_fault", lambda *_: f'pods "w" is forbidden: {quota}')
    spec = spec_of()

    engine.ensure(spec)

    obstacle = told(engine, spec, "exceeded quota").obstacle
    assert (obstacle is not None and obstacle.permanent) is is_final


def test_what_keeps_a_pod_from_its_start_is_told_once_it_is_late(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.ready_seconds = 60
    spec = spec_of(data_path="/data")
    engine.ensure(spec)
    (pod,) = wait_until(lambda: cluster.objects("pods"), what="its pod")
    with cluster.store.lock:
        cluster.store.event(spec.name, pod, "FailedMount", 'MountVolume.SetUp failed for volume "pvc-1"')
    cluster.requests.clear()

    early = engine.inspect(spec.name)
    asked = ("list", "events") in cluster.requests
    monkeypatch.setattr("hub.engines.kubernetes.observe.LATE", timedelta(seconds=-60))
    late = engine.inspect(spec.name)

    assert (early.detail, asked) == ("The cluster is preparing it.", False)
    assert late.detail == 'The cluster is preparing it: MountVolume.SetUp failed for volume "pvc-1"'


@pytest.mark.parametrize(
    ("message", "is_final"),
    [
        ('pods "w" is forbidden: violates PodSecurity "restricted:latest": seccompProfile', True),
        ('admission webhook "policy.example.org" denied the request: no latest tags', True),
        ("ValidatingAdmissionPolicy 'images' with binding 'all' denied request: no latest tags", True),
        ('pods "w" is forbidden: maximum memory usage per Container is 64Mi, but limit is 1Gi', True),
        ('pods "w" is forbidden: pod rejected: RuntimeClass "gvisor" not found', True),
        (
            'pods "w" is forbidden: error looking up service account a/default: serviceaccount "default" not found',
            False,
        ),
    ],
)
def test_what_admission_says_for_good_is_not_waited_for(message: str, is_final: bool) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}

    told = _without_pod(View({"metadata": {}}, deployment={"status": {"conditions": [condition]}}))

    assert (told["obstacle"] is not None, message in told["detail"]) == (is_final, True)


@pytest.mark.parametrize(("age", "quota", "is_final"), [(1, "bounds", False), (60, "bounds", True), (1, "team", True)])
def test_own_quota_that_was_changed_a_moment_ago_is_waited_for(age: int, quota: str, is_final: bool) -> None:
    """Admission goes by what the quota's controller has noted, which comes after the change."""
    began = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    message = f'pods "w" is forbidden: exceeded quota: {quota}, requested: pods=1, used: pods=0, limited: pods=0'
    condition = {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": began, "message": message}

    told = _without_pod(View({}, deployment={"status": {"conditions": [condition]}}))

    assert (told["obstacle"] is not None) is is_final


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
    assert (seen.obstacle.permanent, seen.obstacle.ip, seen.obstacle.port) == (True, "", None), (
        "no other would be given"
    )
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
    spec = spec_of(ports=(GAME,))
    with pytest.raises(EngineError, match="No pool"):
        engine.ensure(spec)
    assert engine.inspect(spec.name) is None
    cluster.fail("list", "ipaddresspools", status=403)
    blind = engine_of(cluster, address_pool="loopback")
    blind.ensure(spec)

    assert missing.value.reason is Reason.ADDRESS_MISSING
    told(blind, spec, "not compatible with requested address pool loopback")
    assert "no pool named nowhere" in verdicts(engine_of(cluster, address_pool="nowhere"))["Addresses"].found


@pytest.mark.parametrize("is_seen", [True, False], ids=["pools are seen", "pools may not be listed"])
def test_a_pool_that_is_kept_for_others_is_waited_for_and_no_address_held_against(
    cluster: Cluster, is_seen: bool
) -> None:
    engine = engine_of(cluster)
    engine.hold_addresses([GAME.ip])
    next(pool for pool in cluster.objects("ipaddresspools") if pool["metadata"]["name"] == "players")["spec"][
        "serviceAllocation"
    ] = {"namespaces": ["team-a"]}
    spec = spec_of(ports=(GAME,))
    if is_seen:
        for ask in (lambda: engine.probe_address(GAME.ip, GAME.port), lambda: engine.ensure(spec)):
            with pytest.raises(EngineError, match="No pool of the cluster's load balancer has any") as refused:
                ask()
            assert refused.value.reason is Reason.UNAVAILABLE
        return
    cluster.fail("list", "ipaddresspools", status=403, times=99)

    free = engine.probe_address(GAME.ip, GAME.port)
    engine.ensure(spec)

    assert free == ""
    assert told(engine, spec, "pool players not compatible").obstacle.reason is Reason.UNAVAILABLE


def test_what_was_said_of_an_address_before_is_not_held_against_it_now(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    with cluster.store.lock:
        cluster.put("namespaces", "", "others")
        theirs = cluster.put("services", "others", "web", type="ClusterIP", ports=[])
        theirs["status"] = {"loadBalancer": {"ingress": [{"ip": GAME.ip}]}}
    spec = spec_of(ports=(GAME,))
    engine.ensure(spec)
    told(engine, spec, "can't change sharing key")
    cluster.take_away("services", "others", "web")
    cluster.take_away("services", spec.name, "ip-192-168-250-100")
    engine.kill(spec.name)
    wait_until(lambda: not engine.inspect(spec.name).is_running, what="its end")
    cluster.address_seconds = 3600

    engine.ensure(replace(spec, generation=2))

    assert told(engine, spec, "Waiting for the load balancer").obstacle.reason is Reason.UNAVAILABLE


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

    assert told(engine, other, "can't change sharing key").obstacle.reason is Reason.ADDRESS_MISSING


def test_a_quota_that_is_not_counted_yet_is_waited_for(cluster: Cluster, engine: KubernetesEngine) -> None:
    cluster.store.quota_seconds = 0.3

    spec = run(engine, spec_of(data_path="/data"))

    assert cluster.objects("persistentvolumeclaims", spec.name)


def test_a_quota_that_is_never_counted_is_no_lack_of_rights(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.engines.kubernetes.launches.QUOTA_SECONDS", 0.1)
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


def test_pods_that_the_cluster_has_ended_and_replaced_are_counted(cluster: Cluster, engine: KubernetesEngine) -> None:
    spec = run(engine, spec_of())
    view = engine.looks.look(spec.name)
    assert view is not None
    (pod,) = view.pods
    status = {"phase": "Failed", "reason": "Evicted", "message": "It used more disk than it may."}
    lost = {"metadata": {**pod["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": status}

    seen = engine.looks.observe(replace(view, pods=[lost, lost, pod]))

    assert (seen.is_running, seen.restart_count) == (True, 2)
    assert seen.restart_cause == "The cluster has ended its pod (Evicted): It used more disk than it may."


# Deleting.


def test_what_goes_slowly_has_ended_as_soon_as_it_goes(
    cluster: Cluster, engine: KubernetesEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data is kept, and its pods take their time; it is no launch on its way up."""
    monkeypatch.setattr("hub.engines.kubernetes.ends.GONE_SECONDS", 0.1)
    spec = run(engine, spec_of(data_path="/data"))
    cluster.linger_seconds = 5

    with pytest.raises(EngineError) as slow:
        engine.remove(spec.name, keep_data=True)

    assert slow.value.reason is Reason.TIMED_OUT
    assert engine.inspect(spec.name).state is State.EXITED


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


def test_without_the_image_of_a_program_beside_it_a_workload_is_not_up(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    from .test_engine_kubernetes_manifests import beside

    cluster.missing_images.add(beside().image)
    spec = spec_of(sidecars=(beside(),))

    engine.ensure(spec)
    seen = told(engine, spec, f"The image {beside().image} cannot be pulled")

    assert (seen.state, seen.obstacle.reason, seen.obstacle.permanent) == (State.CREATED, Reason.IMAGE_MISSING, True)


def test_programs_beside_the_main_one_run_with_what_is_theirs_and_end_with_it(
    cluster: Cluster, engine: KubernetesEngine
) -> None:
    from .test_engine_kubernetes_manifests import beside

    tells = 'echo "$ROLE-$FLAG"; exec sleep 300'
    sidecars = (
        beside(command=("sh", "-c", tells), env={"ROLE": "database"}),
        beside(name="cache", command=("sh", "-c", tells), env={"ROLE": "cache", "FLAG": "inner"}),
    )

    spec = run(engine, spec_of(sidecars=sidecars, env={"FLAG": "outer"}))
    pod = next(iter(cluster.pods.values()))
    programs = list(pod.beside.values())
    runs = [program.poll() is None for program in programs]
    engine.remove(spec.name)
    wait_until(lambda: all(program.poll() is not None for program in programs), what="the end of all programs")

    assert runs == [True, True]
    assert [pod.said_beside(name) for name in ("db", "cache")] == ["database-\n", "cache-inner\n"]


def test_data_that_is_kept_keeps_no_secret(cluster: Cluster, engine: KubernetesEngine) -> None:
    from .test_engine_kubernetes_manifests import beside

    spec = spec_of(data_path="/data", files={"/flag": "flag{x}"}, sidecars=(beside(env={"FLAG": "flag{y}"}),))
    run(engine, spec)

    engine.remove(spec.name, keep_data=True)

    assert cluster.objects("secrets", spec.name) == []
    assert len(cluster.objects("persistentvolumeclaims", spec.name)) == 1


def test_what_is_over_goes_by_its_labels_alone(cluster: Cluster, engine: KubernetesEngine) -> None:
    """No database is there to ask."""
    now = datetime.now(UTC)
    over = run(engine, spec_of(kind="instance", team="7", expires_at=now - timedelta(minutes=6)))
    left = [
        run(engine, spec_of(kind="instance", team="7", expires_at=now + timedelta(minutes=1))),
        run(engine, spec_of()),
    ]

    removed = janitor.reap_expired(engine)

    assert removed == [over.name]
    assert {seen.name for seen in engine.list_owned()} == {spec.name for spec in left}


def test_end_that_was_put_off_is_in_its_labels(cluster: Cluster, engine: KubernetesEngine) -> None:
    now = datetime.now(UTC)
    spec = run(engine, spec_of(kind="instance", team="7", expires_at=now - timedelta(minutes=6)))
    later = now + timedelta(minutes=30)

    engine.put_off(spec.name, later)
    engine.put_off("hub-instance-0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11", later)  # nothing is there

    assert janitor.reap_expired(engine) == []
    (namespace,) = [one for one in cluster.objects("namespaces") if one["metadata"]["name"] == spec.name]
    assert namespace["metadata"]["labels"]["kutanga.expires"] == str(int(later.timestamp()))


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
