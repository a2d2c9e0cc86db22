"""Credentials and rights in a cluster, and its examination: what it lacks, and what to do about that."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from hub.engines.base import Check, EngineError, Reason, Verdict
from hub.engines.kubernetes import KubernetesEngine
from hub.engines.kubernetes.examine import RIGHTS, Examination
from hub.engines.kubernetes.gateway import parse_kubeconfig
from hub.testing import wait_until

from .cluster import Cluster
from .cluster.role import BEYOND_THE_CONTRACT, DEPLOY, shipped_role
from .cluster.server import Rule, kubeconfig
from .harnesses import ECHOES_INPUT, LIMITS
from .kubernetes_helpers import GAME, engine_of, run, spec_of, verdicts
from .proxy import self_signed

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


@pytest.fixture
def account(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod finds of its account, in a cluster that speaks TLS."""
    certificate, key = self_signed("localhost")
    for name, content in {"ca.crt": certificate, "key": key, "token": cluster.token.encode()}.items():
        (tmp_path / name).write_bytes(content)
    port = cluster.speak_tls(tmp_path / "ca.crt", tmp_path / "key")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    return tmp_path


def test_inside_a_cluster_the_pods_own_account_is_used_and_its_token_read_anew(
    cluster: Cluster, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = SimpleNamespace(datetime=datetime, timedelta=lambda **_: timedelta())
    monkeypatch.setattr(incluster_config, "datetime", at_once)  # it is read again after a minute
    engine = KubernetesEngine(node="west", options={})
    before = engine.list_owned()
    cluster.token = "another-one"
    (account / "token").write_text(cluster.token)

    assert before == engine.list_owned() == []


def test_inside_a_cluster_nobody_else_is_taken_for_it(account: Path) -> None:
    (account / "ca.crt").write_bytes(self_signed("localhost")[0])

    with pytest.raises(EngineError, match="does not answer") as failed:
        KubernetesEngine(node="west", options={}).list_owned()

    assert failed.value.reason is Reason.UNAVAILABLE


def test_a_pod_without_an_account_is_told_so(account: Path) -> None:
    (account / "token").unlink()

    with pytest.raises(EngineError, match="no kubeconfig"):
        KubernetesEngine(node="west", options={}).list_owned()


def test_the_role_we_ship_is_what_the_engine_asks_for_and_nothing_more(cluster: Cluster) -> None:
    """Every verb of the engine with all that can follow, under the shipped role; the contract's own calls are compared
    with it beside the contract.
    """
    cluster.rules, cluster.version = shipped_role(), "v1.35.0"
    engine = engine_of(cluster)
    asked: dict[str, set[Rule]] = {}

    @contextlib.contextmanager
    def noted(what: str) -> Iterator[None]:
        before, cluster.called = cluster.called, set()
        yield
        asked[what] = cluster.called
        cluster.called = cluster.called | before

    ports = (GAME, replace(GAME, ip="192.168.250.101"))
    cluster.address_seconds = 1.5
    spec = spec_of(ECHOES_INPUT, ports=ports, data_path="/data", secrets=("x",))
    cluster.fail("patch", "deployments", status=500)
    with pytest.raises(EngineError):
        engine.ensure(spec)
    run(engine, spec)  # half of which is there
    engine.send_input(spec.name, "news")
    engine.logs(spec.name)
    engine.usage()
    with noted("watches"):
        engine.list_owned()
        engine.prepare()
        wait_until(lambda: engine.looks.mirror.is_live)
    engine.probe_address(GAME.ip, GAME.port)
    engine.stop(spec.name)
    engine.kill(spec.name)
    wait_until(lambda: not engine.inspect(spec.name).is_running)
    smaller = replace(spec, generation=2, ports=(GAME,), limits=replace(LIMITS, disk_mb=32))
    with noted("a smaller volume"):
        run(engine, smaller)
    engine.remove(spec.name, keep_data=True)
    engine.tidy()
    engine.kept_data()
    cluster.delete_seconds = 0.3
    engine.remove(spec.name)
    with noted("the examination"):
        engine.examine([])

    assert cluster.called == shipped_role()
    assert {
        (v, group, resource) for (group, resource), verbs in RIGHTS.items() for v in verbs.split()
    } == shipped_role()
    assert {what: rights - asked[what] for what, rights in BEYOND_THE_CONTRACT.items() if rights - asked[what]} == {}


# The examination.


def furnish(cluster: Cluster, *, internal: str = "192.168.1.10", pods: str = "10.42.0.0/24") -> None:
    """What every cluster has: a machine, a resolver and the API server's own service."""
    cluster.put("pods", "kube-system", "coredns")["metadata"]["labels"] = {"k8s-app": "kube-dns"}
    addresses = [{"type": "InternalIP", "address": internal}, {"type": "Hostname", "address": "usman"}]
    cluster.put("nodes", "", "usman", podCIDRs=[pods])["status"] = {"addresses": addresses}
    cluster.put("services", "default", "kubernetes", clusterIPs=["10.43.0.1"])


def test_a_cluster_in_order_is_found_so(cluster: Cluster, engine: KubernetesEngine) -> None:
    for pool in cluster.objects("ipaddresspools"):
        pool["spec"]["autoAssign"] = False
    furnish(cluster)
    cluster.put("services", "kube-system", "traefik", type="LoadBalancer", ports=[{"port": 80}])
    homes = len(cluster.objects("namespaces"))

    checks = verdicts(engine)

    assert {check.verdict for check in checks.values()} == {Verdict.GOOD}
    assert set(checks) == {
        "Version",
        "Rights",
        "Addresses",
        "Announcements",
        "Load balancers",
        "Usage",
        "Names",
        "Near networks",
        "Network policies",
    }
    wait_until(lambda: len(cluster.objects("namespaces")) == homes, what="the end of the throw-away namespaces")


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


@pytest.mark.parametrize("theirs", [{}, {"type": "LoadBalancer", "loadBalancerClass": "example.org/other"}])
def test_a_second_load_balancer_is_not_seen_before_there_is_a_service_for_it(
    cluster: Cluster, engine: KubernetesEngine, theirs: dict[str, str]
) -> None:
    cluster.put("services", "default", "theirs", ports=[{"port": 80}], **theirs)

    assert Examination(engine.gateway, engine.policy, []).service_lb().verdict is Verdict.UNKNOWN


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
    """One that is under way elsewhere is let be, and so is what a hub of that name runs."""
    old = "2026-01-01T00:00:00Z"
    names = []
    for kind, made in (("check", old), ("check", None), ("server", old)):
        id = str(uuid.uuid4())
        left = cluster.put("namespaces", "", f"hub-{kind}-{id}")
        labels = {"kutanga.hub": "west-check", "kutanga.kind": kind, "kutanga.id": id, "kutanga.generation": "1"}
        left["metadata"]["labels"] = labels
        left["metadata"]["creationTimestamp"] = made or left["metadata"]["creationTimestamp"]
        names.append(left["metadata"]["name"])

    engine.examine([])

    wait_until(
        lambda: {one["metadata"]["name"] for one in cluster.objects("namespaces")} == {"metallb-system", *names[1:]},
        what="the end of what was left",
    )


def test_a_hub_is_not_named_as_the_examination_names_its_own() -> None:
    with pytest.raises(EngineError, match="must not end in -check"):
        KubernetesEngine(node="west-check", options={})


@pytest.mark.parametrize("right", sorted(one for one in shipped_role() if one[0] == "list"))
def test_a_right_that_lacks_is_named_and_keeps_nothing_else_from_being_told(
    cluster: Cluster, engine: KubernetesEngine, right: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Examination, "policies", lambda _: Check("Network policies", Verdict.GOOD, ""))
    furnish(cluster)
    cluster.rules = shipped_role() - {right}

    checks = verdicts(engine)

    assert len(checks) == 9
    assert f"list {right[2]}" in checks["Rights"].found


# Who tells the network where the addresses are.


def announcements_of(cluster: Cluster, **options: Any) -> Any:
    return verdicts(engine_of(cluster, **options))["Announcements"]


def test_addresses_that_nothing_announces_are_found_with_what_to_do(cluster: Cluster) -> None:
    cluster.take_away("l2advertisements", "metallb-system", "all")

    check = announcements_of(cluster)

    assert check.verdict is Verdict.BAD
    assert "Nothing announces players" in check.found
    assert "L2Advertisement or BGPAdvertisement" in check.advice
    assert "metallb-pool.yaml" in check.advice


@pytest.mark.parametrize("plural", ["l2advertisements", "bgpadvertisements"])
@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        ({}, Verdict.GOOD),
        ({"ipAddressPools": ["players"]}, Verdict.GOOD),
        ({"ipAddressPools": ["loopback"]}, Verdict.BAD),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"for": "players"}}]}, Verdict.GOOD),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"for": "staff"}}]}, Verdict.BAD),
        (
            {
                "ipAddressPoolSelectors": [
                    {"matchExpressions": [{"key": "for", "operator": "In", "values": ["players"]}]}
                ]
            },
            Verdict.GOOD,
        ),
        ({"ipAddressPoolSelectors": [{"matchExpressions": [{"key": "for", "operator": "DoesNotExist"}]}]}, Verdict.BAD),
    ],
)
def test_either_kind_of_advertisement_is_enough_when_it_is_for_the_pool(
    cluster: Cluster, plural: str, spec: dict[str, Any], verdict: Verdict
) -> None:
    cluster.take_away("l2advertisements", "metallb-system", "all")
    next(pool for pool in cluster.objects("ipaddresspools") if pool["metadata"]["name"] == "players")["metadata"][
        "labels"
    ] = {"for": "players"}
    cluster.put(plural, "metallb-system", "ours", **spec)

    assert announcements_of(cluster).verdict is verdict


ANYBODYS = {"matchLabels": {"kutanga.hub": "test"}}
OTHERS = {"matchExpressions": [{"key": "kutanga.hub", "operator": "NotIn", "values": ["test"]}]}


@pytest.mark.parametrize(
    ("allocation", "is_ours"),
    [
        ({"priority": 50}, True),
        ({"namespaces": ["team-a"]}, False),
        ({"namespaces": ["team-a"], "namespaceSelectors": [ANYBODYS]}, True),
        ({"namespaceSelectors": [OTHERS]}, False),
        ({"namespaceSelectors": [{"matchLabels": {"kutanga.kind": "instance", "kutanga.hub": "test"}}]}, True),
        ({"serviceSelectors": [{"matchLabels": {"app": "web"}}]}, False),
        ({"serviceSelectors": [{"matchLabels": {"app": "web"}}, ANYBODYS]}, True),
        ({"namespaceSelectors": [ANYBODYS], "serviceSelectors": [OTHERS]}, False),
    ],
)
def test_a_pool_that_is_kept_for_others_is_none_of_ours(
    cluster: Cluster, allocation: dict[str, Any], is_ours: bool
) -> None:
    cluster.take_away("ipaddresspools", "metallb-system", "players")
    cluster.take_away("ipaddresspools", "metallb-system", "loopback")
    spec = {"addresses": ["192.168.250.0/24"], "autoAssign": False, "serviceAllocation": allocation}
    cluster.put("ipaddresspools", "metallb-system", "players", **spec)
    engine = engine_of(cluster, hub="test")

    check = Examination(engine.gateway, engine.policy, ["192.168.250.100"]).pools()

    assert engine.pools.have("192.168.250.100") is is_ours
    assert (check.verdict, "players has addresses of the hub's" in check.found) == (
        (Verdict.GOOD, False) if is_ours else (Verdict.BAD, True)
    )


def test_an_advertisement_of_another_namespace_is_none(cluster: Cluster) -> None:
    cluster.take_away("l2advertisements", "metallb-system", "all")
    cluster.put("l2advertisements", "elsewhere", "all")

    assert announcements_of(cluster).verdict is Verdict.BAD


@pytest.mark.parametrize(("status", "advice"), [(404, "CRDs"), (403, "challenge-manager.yaml")])
def test_advertisements_that_cannot_be_seen_are_unknown(cluster: Cluster, status: int, advice: str) -> None:
    cluster.take_away("l2advertisements", "metallb-system", "all")
    cluster.fail("list", "bgpadvertisements", status=status, times=99)

    check = announcements_of(cluster)

    assert check.verdict is Verdict.UNKNOWN
    assert advice in check.advice


def test_one_kind_that_is_seen_is_enough(cluster: Cluster) -> None:
    cluster.fail("list", "bgpadvertisements", status=404, times=99)

    assert announcements_of(cluster).verdict is Verdict.GOOD


# What lies around workloads that may reach the Internet.


def test_a_cluster_without_the_resolver_that_policies_name_is_told(cluster: Cluster, engine: KubernetesEngine) -> None:
    missing = verdicts(engine)["Names"]
    furnish(cluster)
    elsewhere = verdicts(engine_of(cluster, dns_namespace="dns"))["Names"]

    assert (missing.verdict, elsewhere.verdict) == (Verdict.BAD, Verdict.BAD)
    assert "k8s-app=kube-dns" in missing.found
    assert "`dns_namespace`" in elsewhere.advice


@pytest.mark.parametrize(
    ("args", "ips"),
    [
        (["-localip", "169.254.20.10,10.43.0.10", "-conf", "/etc/Corefile"], ["169.254.20.10", "10.43.0.10"]),
        (["-localip=169.254.25.10"], ["169.254.25.10"]),
        ([], ["169.254.20.10"]),
    ],
)
def test_a_cache_of_names_on_each_machine_is_found_until_its_addresses_are_let_through(
    cluster: Cluster, engine: KubernetesEngine, args: list[str], ips: list[str]
) -> None:
    furnish(cluster)
    template = {"spec": {"containers": [{"name": "node-cache", "args": args}]}}
    cluster.put("daemonsets", "kube-system", "node-local-dns", template=template)

    before = verdicts(engine)["Names"]
    after = verdicts(engine_of(cluster, dns_addresses=ips))["Names"]

    assert before.verdict is Verdict.BAD
    assert f"at {', '.join(ips)}," in before.found
    assert "`dns_addresses`" in before.advice
    assert after.verdict is Verdict.GOOD


def test_networks_nearby_that_workloads_could_reach_are_found(cluster: Cluster) -> None:
    furnish(cluster, internal="203.0.113.9", pods="2001:db8:1::/64")

    check = verdicts(engine_of(cluster), ("192.168.250.100", "198.51.100.7"))["Near networks"]
    closed = ["203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"]
    after = verdicts(engine_of(cluster, closed_networks=closed), ("198.51.100.7",))["Near networks"]

    assert (check.verdict, after.verdict) == (Verdict.BAD, Verdict.GOOD)
    assert "reach 203.0.113.9, 2001:db8:1::/64, 198.51.100.7, too" in check.found
    assert "`closed_networks`" in check.advice


def test_machines_that_cannot_be_seen_are_unknown(cluster: Cluster) -> None:
    cluster.rules = shipped_role() - {("list", "", "nodes")}

    assert verdicts(engine_of(cluster))["Near networks"].verdict is Verdict.UNKNOWN


def test_what_has_no_way_out_is_not_asked_for_what_is_near(cluster: Cluster) -> None:
    assert not {"Names", "Near networks"} & set(verdicts(engine_of(cluster, egress=False)))


def test_the_trial_of_policies_does_not_depend_on_who_may_play(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One program knocks on the other from a pod's address, which no player has."""
    engine = engine_of(cluster, share_addresses=False, player_networks=["192.168.250.0/24"])
    made: list[dict[str, Any]] = []
    apply = engine.gateway.apply
    monkeypatch.setattr(engine.gateway, "apply", lambda one: (made.append(one), apply(one))[1])

    engine.examine([])

    walls = next(one["spec"] for one in made if one["kind"] == "NetworkPolicy")
    assert {"ipBlock": {"cidr": "0.0.0.0/0"}} in walls["ingress"][1]["from"]
    assert {port["port"] for port in walls["ingress"][1]["ports"]} == {8080}
