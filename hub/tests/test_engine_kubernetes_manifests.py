"""What is sent to a cluster: valid by the published schemas, by the server's own rules, and as closed as it can be."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.engines.base import EngineError, Limits, PortBinding, Probe, ProbeKind, Sidecar, WorkloadSpec
from hub.engines.kubernetes import manifests, names
from hub.engines.kubernetes.options import Options

from .cluster.validation import faults_of, pod_security_fault, schema_fault

SHARED = Options.parse("west", {})
OWN = Options.parse("west", {"share_addresses": False, "player_networks": ["192.168.250.0/24"], "user": ""})
NODE_PORTS = Options.parse(
    "west",
    {
        "exposure": "node_ports",
        "runtime_class": "gvisor",
        "storage_class": "local-path",
        "closed_networks": ["203.0.113.0/24"],
        "agent_networks": ["10.42.7.0/24"],
    },
)
GRANTING = Options.parse("west", {"allow_grants": True, "address_pool": "players", "egress": False})
REGISTRIES = [{"registry": "ghcr.io", "username": "me", "password": "secret"}]
EXPIRES = datetime(2026, 12, 1, tzinfo=UTC)


def spec_of(**changes: Any) -> WorkloadSpec:
    values: dict[str, Any] = {
        "kind": "server",
        "id": uuid.UUID("6f1c2c1e-0000-4000-8000-0000000000aa"),
        "generation": 3,
        "owner": "42",
        "team": "9",
        "image": "ghcr.io/games/arena:1.2",
        "command": ("arena", "--name", "it's $(HOME) and $$"),
        "env": {"NAME": "a b\n$(X)", "PASSWORD": "s3cret"},
        "secrets": ("s3cret",),
        "limits": Limits(memory_mb=512, cpu_percent=150, disk_mb=1000),
        "ports": (
            PortBinding("game", "192.168.250.100", 30565, 25565),
            PortBinding("rcon", "192.168.250.100", 30575, 25575, public=False),
        ),
        "data_path": "/data",
        "expires_at": EXPIRES,
    }
    return WorkloadSpec(**{**values, **changes})


def beside(**changes: Any) -> Sidecar:
    values = {"name": "db", "image": "postgres:17", "limits": Limits(memory_mb=256, cpu_percent=50, disk_mb=1)}
    return Sidecar(**{**values, **changes})


def rendered(spec: WorkloadSpec, options: Options = SHARED) -> list[dict[str, Any]]:
    manifests.check(spec, options)
    whole = manifests.contents(spec, options, run="abc123", registries=REGISTRIES)
    return [manifests.namespace(spec, options, run="abc123", config="f00"), *whole]


def one(kind: str, objects: list[dict[str, Any]], name: str = "") -> dict[str, Any]:
    found = [made for made in objects if made["kind"] == kind and name in ("", made["metadata"]["name"])]
    assert len(found) == 1
    return found[0]


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return one("Deployment", objects)["spec"]["template"]["spec"]


@pytest.mark.parametrize("options", [SHARED, OWN, NODE_PORTS], ids=["shared", "own", "node ports"])
def test_everything_passes_strict_schemas_and_the_servers_own_rules(options: Options) -> None:
    for manifest in rendered(spec_of(), options):
        assert schema_fault(manifest) == ""
        assert faults_of(manifest) == []


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("Deployment", lambda m: m["spec"].update(replicaz=1), "replicaz"),
        ("Deployment", lambda m: m["spec"].update(replicas="two"), "two"),
        ("Deployment", lambda m: m["spec"].pop("selector"), "selector"),
        ("Deployment", lambda m: m["spec"]["template"]["spec"]["containers"][0].pop("name"), "name"),
        ("NetworkPolicy", lambda m: m["spec"].update(ingres=[]), "ingres"),
        ("Service", lambda m: m["metadata"]["annotations"].update(number=5), "5"),
        ("Deployment", lambda m: m["spec"]["selector"]["matchLabels"].update(other="x"), "selector"),
        ("Deployment", lambda m: m["spec"]["template"]["spec"]["containers"][0].pop("image"), "image"),
        ("Service", lambda m: m["spec"]["ports"][0].update(port=0), "65535"),
        ("Service", lambda m: m["spec"]["ports"][0].update(port=99999), "65535"),
        ("Service", lambda m: m["metadata"].update(name="Not_A_Name"), "name"),
        ("Namespace", lambda m: m["metadata"].update(name="a" * 64), "name"),
        ("ResourceQuota", lambda m: m["spec"]["hard"].update(pods="12cpus"), "quantity"),
        (
            "Deployment",
            lambda m: m["spec"]["template"]["spec"]["containers"][0].update(imagePullPolicy="Often"),
            "Often",
        ),
        ("Service", lambda m: m["spec"].update(type="Balanced"), "Balanced"),
        ("Service", lambda m: m["spec"].update(ipFamilies=["IPv5"]), "IPv5"),
        (
            "Deployment",
            lambda m: m["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "HOME", "value": ""}),
            "duplicate",
        ),
        (
            "Deployment",
            lambda m: m["spec"]["template"]["spec"]["containers"][0].update(readinessProbe={"tcpSocket": {"port": 0}}),
            "65535",
        ),
        (
            "Deployment",
            lambda m: m["spec"]["template"]["spec"]["containers"][0]["securityContext"].update(privileged=True),
            "allowPrivilegeEscalation",
        ),
        ("Service", lambda m: m["spec"].update(loadBalancerSourceRanges=["10.0.0.0/99"]), "/99"),
    ],
)
def test_the_checks_above_catch_each_fault_that_a_real_server_refuses(kind: str, change: Any, fault: str) -> None:
    spec = spec_of()
    manifest = next(made for made in rendered(spec) if made["kind"] == kind)

    change(manifest)

    assert fault in " ".join([schema_fault(manifest), *faults_of(manifest)])


def test_every_object_says_whose_it_is() -> None:
    for manifest in rendered(spec_of()):
        labels, notes = manifest["metadata"]["labels"], manifest["metadata"]["annotations"]
        assert (labels["kutanga.id"], labels["kutanga.generation"], labels["kutanga.hub"]) == (
            str(spec_of().id),
            "3",
            "west",
        )
        assert (labels["kutanga.owner"], labels["kutanga.expires"]) == ("42", str(int(EXPIRES.timestamp())))
        assert notes["kutanga.expires"] == EXPIRES.isoformat()
        assert labels["kutanga.team"] == notes["kutanga.team"] == "9"


def test_an_owner_that_is_no_label_is_told_whole_as_an_annotation() -> None:
    manifest = rendered(spec_of(owner="Team Ü / 7"))[0]

    assert names.LABEL_VALUE.fullmatch(manifest["metadata"]["labels"]["kutanga.owner"])
    assert manifest["metadata"]["annotations"]["kutanga.owner"] == "Team Ü / 7"


def test_the_pod_is_closed_as_far_as_kubernetes_can() -> None:
    pod = pod_of(rendered(spec_of()))
    container = pod["containers"][0]

    assert pod_security_fault(pod) == ""
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["securityContext"]["fsGroup"] == 1000
    assert pod["shareProcessNamespace"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["volumes"][0] == {"name": "tmp-main", "emptyDir": {"sizeLimit": "64Mi"}}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_limits_are_requests_and_the_bounds_of_the_namespace() -> None:
    objects = rendered(spec_of())
    resources = pod_of(objects)["containers"][0]["resources"]

    assert resources["limits"] == {"cpu": "1500m", "memory": "512Mi", "ephemeral-storage": "128Mi"}
    assert resources["requests"] == resources["limits"]
    hard = one("ResourceQuota", objects)["spec"]["hard"]
    assert (hard["limits.memory"], hard["pods"], hard["requests.storage"]) == ("512Mi", "2", "1000Mi")
    assert one("LimitRange", objects)["spec"]["limits"][0]["max"] == resources["limits"]


def test_the_namespace_enforces_the_strictest_pod_security() -> None:
    assert rendered(spec_of())[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_secrets_stand_in_the_secret_only() -> None:
    objects = rendered(spec_of())

    secret = one("Secret", objects, names.SECRET)
    others = json.dumps([made for made in objects if made is not secret])
    assert base64.b64decode(secret["data"]["PASSWORD"]) == b"s3cret"
    assert "s3cret" not in others
    assert manifests.masked_texts(secret) == ["s3cret"]


def test_a_program_gets_its_own_variables_and_not_what_is_to_be_masked() -> None:
    """The list of secrets lies beside the variables; a program would find a flag there that was planted elsewhere."""
    spec = spec_of(sidecars=(beside(env={"FLAG": "flag{deep}"}),), secrets=("flag{deep}",))
    objects = rendered(spec)

    secret = one("Secret", objects, names.SECRET)
    told = {entry["valueFrom"]["secretKeyRef"]["key"] for entry in pod_of(objects)["containers"][0]["env"][1:]}
    assert told == set(spec.env) == {key for key in secret["data"] if not key.startswith("0.")}
    assert "0.beside.db.FLAG" in secret["data"]
    for key in (names.KEY_MASK, names.KEY_FILES, names.KEY_BESIDE):
        assert not manifests.ENV_NAME.fullmatch(key)
    assert "envFrom" not in json.dumps(objects)


def test_commands_stay_text() -> None:
    """Kubernetes would put variables in place of $(NAME), and $ in place of $$."""
    args = pod_of(rendered(spec_of()))["containers"][0]["args"]

    assert args == ["arena", "--name", "it's $$(HOME) and $$$$"]


def test_a_program_beside_it_shares_its_network_and_nothing_else() -> None:
    spec = spec_of(sidecars=(beside(env={"POSTGRES_PASSWORD": "x"}, files={"/etc/db.conf": "a=1"}),))
    objects = rendered(spec)
    pod = pod_of(objects)

    main, sidecar = pod["containers"]
    assert pod["hostAliases"] == [{"ip": "127.0.0.1", "hostnames": ["db"]}]
    assert not pod["shareProcessNamespace"]
    assert (sidecar["name"], sidecar["stdin"], "ports" in sidecar) == ("db", False, False)
    wanted = {"secretKeyRef": {"name": "environment", "key": "0.beside.db.POSTGRES_PASSWORD"}}
    assert {"name": "POSTGRES_PASSWORD", "valueFrom": wanted} in sidecar["env"]
    assert wanted not in [entry.get("valueFrom") for entry in main["env"]]
    assert sidecar["volumeMounts"][1] == {
        "name": "files",
        "mountPath": "/etc/db.conf",
        "subPath": "0.files.db.0",
        "readOnly": True,
    }
    assert pod_security_fault(pod) == ""
    hard = one("ResourceQuota", objects)["spec"]["hard"]
    assert (hard["limits.memory"], hard["limits.cpu"]) == ("768Mi", "2000m")
    assert one("LimitRange", objects)["spec"]["limits"][0]["max"]["memory"] == "512Mi"
    assert all(not (schema_fault(made) or faults_of(made)) for made in objects)


def test_planted_files_are_read_only_and_scratch_space_is_memory() -> None:
    objects = rendered(spec_of(files={"/flag.txt": "flag{x}"}, writable_paths=("/run/app", "/tmp"), is_read_only=False))
    pod = pod_of(objects)
    container = pod["containers"][0]

    secret = one("Secret", objects, names.SECRET)
    assert base64.b64decode(secret["data"]["0.files.main.0"]) == b"flag{x}"
    volume = next(volume for volume in pod["volumes"] if volume["name"] == "files")
    assert [item["key"] for item in volume["secret"]["items"]] == ["0.files.main.0"], "nothing else lies in the pod"
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp", "/run/app", "/flag.txt", "/data"]
    assert container["volumeMounts"][2]["readOnly"]
    assert pod["volumes"][1]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64Mi"}
    assert not container["securityContext"]["readOnlyRootFilesystem"]


def test_extra_rights_are_for_nodes_that_are_marked_and_for_the_program_alone() -> None:
    marked = Options.parse("west", {"allow_grants": True})
    objects = rendered(spec_of(added_capabilities=("SYS_ADMIN",), sidecars=(beside(),)), marked)

    main, sidecar = pod_of(objects)["containers"]
    assert main["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert objects[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    privileged = pod_of(rendered(spec_of(is_privileged=True), marked))["containers"][0]
    assert privileged["securityContext"] == {"privileged": True}


def test_registries_become_pull_secrets() -> None:
    objects = rendered(spec_of())

    assert pod_of(objects)["imagePullSecrets"] == [{"name": names.REGISTRIES}]
    told = json.loads(base64.b64decode(one("Secret", objects, names.REGISTRIES)["data"][".dockerconfigjson"]))
    assert told["auths"]["ghcr.io"]["password"] == "secret"


def test_a_sandboxed_runtime_is_asked_for_where_the_node_names_one() -> None:
    sandboxed = pod_of(rendered(spec_of(), Options.parse("west", {"runtime_class": "gvisor"})))

    assert sandboxed["runtimeClassName"] == "gvisor"
    assert "runtimeClassName" not in pod_of(rendered(spec_of()))


def test_another_stop_signal_is_sent_before_the_end() -> None:
    container = pod_of(rendered(spec_of(stop_signal="SIGINT")))["containers"][0]

    assert "kill -s INT -1" in container["lifecycle"]["preStop"]["exec"]["command"][2]
    assert "lifecycle" not in pod_of(rendered(spec_of()))["containers"][0]


def test_a_shared_address_is_asked_for_by_metallbs_present_annotations() -> None:
    service = one("Service", rendered(spec_of()))

    notes = service["metadata"]["annotations"]
    assert notes["metallb.io/loadBalancerIPs"] == "192.168.250.100"
    assert notes["metallb.io/allow-shared-ip"] == "west-9-192.168.250.100"
    assert "loadBalancerIP" not in service["spec"]  # both together are refused
    assert service["spec"]["externalTrafficPolicy"] == "Cluster"
    assert service["spec"]["loadBalancerSourceRanges"] == ["0.0.0.0/0"]
    assert [(port["port"], port["targetPort"], port["protocol"]) for port in service["spec"]["ports"]] == [
        (30565, 25565, "TCP"),
        (30565, 25565, "UDP"),
    ]


def test_an_address_of_its_own_shows_who_plays() -> None:
    objects = rendered(spec_of(), OWN)

    service = one("Service", objects)
    assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert "metallb.io/allow-shared-ip" not in service["metadata"]["annotations"]
    ways_in = one("NetworkPolicy", objects)["spec"]["ingress"]
    assert ways_in[1]["from"] == [{"ipBlock": {"cidr": "192.168.250.0/24"}}]


@pytest.mark.parametrize(
    ("node", "workload", "shared"), [(True, False, False), (False, True, True), (True, None, True)]
)
def test_the_workload_says_whether_its_address_is_shared_and_else_its_node(
    node: bool, workload: bool | None, shared: bool
) -> None:
    service = one(
        "Service", rendered(spec_of(shares_address=workload), Options.parse("west", {"share_addresses": node}))
    )

    assert ("metallb.io/allow-shared-ip" in service["metadata"]["annotations"]) is shared
    assert service["spec"]["externalTrafficPolicy"] == ("Cluster" if shared else "Local")


@pytest.mark.parametrize(("ip", "family"), [("192.168.250.100", "IPv4"), ("fd00::100", "IPv6")])
def test_a_service_has_the_family_of_its_address(ip: str, family: str) -> None:
    service = one("Service", rendered(spec_of(ports=(PortBinding("game", ip, 25565, 25565),))))

    assert (service["spec"]["ipFamilies"], service["spec"]["ipFamilyPolicy"]) == ([family], "SingleStack")


def test_the_pool_is_named_where_the_node_names_one() -> None:
    options = Options.parse("west", {"address_pool": "challenge-pool"})

    assert "metallb.io/address-pool" not in one("Service", rendered(spec_of()))["metadata"]["annotations"]
    notes = one("Service", rendered(spec_of(), options))["metadata"]["annotations"]
    assert notes["metallb.io/address-pool"] == "challenge-pool"


def test_an_address_that_no_player_network_could_reach_is_refused() -> None:
    """Without any source range Kubernetes would let everybody in."""
    with pytest.raises(EngineError, match="could reach 192"):
        rendered(spec_of(), Options.parse("west", {"player_networks": ["2001:db8::/32"]}))


@pytest.mark.parametrize(
    ("probe", "asked"),
    [
        (Probe(ProbeKind.TCP, 25565), {"tcpSocket": {"port": 25565}}),
        (Probe(ProbeKind.HTTP, 8080, "/health"), {"httpGet": {"port": 8080, "path": "/health"}}),
    ],
)
def test_the_templates_probe_is_the_pods_readiness(probe: Probe, asked: dict[str, Any]) -> None:
    objects = rendered(spec_of(probe=probe, sidecars=(beside(),)))
    main, sidecar = pod_of(objects)["containers"]

    assert asked.items() <= main["readinessProbe"].items()
    assert not {"readinessProbe", "livenessProbe"} & set(sidecar)
    assert one("Service", objects)["spec"]["publishNotReadyAddresses"], "whoever is not ready can still be reached"
    assert all(not (schema_fault(made) or faults_of(made)) for made in objects)


def test_without_a_probe_nothing_is_asked() -> None:
    assert "readinessProbe" not in pod_of(rendered(spec_of()))["containers"][0]


def test_node_ports_are_the_leased_ports() -> None:
    service = one("Service", rendered(spec_of(), NODE_PORTS))

    assert service["spec"]["type"] == "NodePort"
    assert {port["nodePort"] for port in service["spec"]["ports"]} == {30565}


def test_policies_close_everything_but_the_exposed_port_and_the_internet() -> None:
    objects = rendered(spec_of(), NODE_PORTS)
    walls = one("NetworkPolicy", objects)["spec"]

    assert (walls["podSelector"], walls["policyTypes"]) == ({}, ["Ingress", "Egress"])
    within, players, agents = walls["ingress"]
    assert within == {"from": [{"podSelector": {}}]}
    assert {port["port"] for port in players["ports"]} == {25565}
    assert agents["from"] == [{"ipBlock": {"cidr": "10.42.7.0/24"}}]
    assert walls["egress"][0] == {"to": [{"podSelector": {}}]}
    out = walls["egress"][1]["to"][0]["ipBlock"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "203.0.113.0/24"} <= set(out["except"])
    names_only = walls["egress"][2]
    assert {port["port"] for port in names_only["ports"]} == {53}
    assert names_only["to"][0]["podSelector"] == {"matchLabels": {"k8s-app": "kube-dns"}}
    assert "ipBlock" not in json.dumps(names_only)


def test_a_cache_of_names_on_each_machine_is_asked_for_names_and_nothing_else() -> None:
    options = Options.parse("west", {"dns_addresses": ["169.254.20.10", "fd00::53"]})

    objects = rendered(spec_of(), options)

    names_only = one("NetworkPolicy", objects)["spec"]["egress"][2]
    assert names_only["to"][1:] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}, {"ipBlock": {"cidr": "fd00::53/128"}}]
    assert {port["port"] for port in names_only["ports"]} == {53}
    assert all(not (schema_fault(made) or faults_of(made)) for made in objects)


@pytest.mark.parametrize("whose", ["node", "workload"])
def test_without_egress_nothing_leaves(whose: str) -> None:
    options = Options.parse("west", {"egress": whose != "node"})

    policies = [
        made["spec"]
        for made in rendered(spec_of(egress=whose != "workload"), options)
        if made["kind"] == "NetworkPolicy"
    ]

    assert all(rule == {"to": [{"podSelector": {}}]} for policy in policies for rule in policy.get("egress") or ())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": ""}, "No image"),
        ({"image": "two words"}, "names no image"),
        ({"data_path": "/etc/x"}, "directory"),
        ({"stop_signal": "TERM; reboot"}, "signal"),
        ({"kind": "Server"}, "name for a workload"),
        ({"probe": Probe(ProbeKind.TCP, 0)}, "whether it is ready"),
        ({"probe": Probe(ProbeKind.HTTP, 80, "no slash")}, "whether it is ready"),
        ({"env": {f"A{number}": "" for number in range(1001)}}, "too many"),
        ({"env": {"A=B": "x"}}, "variable"),
        ({"env": {"A": "x\0"}}, "passed on"),
        ({"env": {"A": "x" * 1_000_001}}, "too long"),
        ({"command": ("\ud800",)}, "not text"),
        ({"limits": Limits(memory_mb=1, cpu_percent=10, disk_mb=10)}, "memory"),
        ({"limits": Limits(memory_mb=64, cpu_percent=0, disk_mb=10)}, "more than nothing"),
        ({"ports": (PortBinding("game", "192.168.250.100", 0, 1),)}, "not a port"),
        ({"ports": (PortBinding("game", "192.168.250.100", 1, 99999),)}, "not a port"),
        ({"ports": (PortBinding("game", "nowhere", 1, 1),)}, "not an address"),
        ({"ports": (PortBinding("game", "fe80::1%eth0", 1, 1),)}, "not an address"),
        ({"env": {"A": "x" * 600_000}, "files": {"/flag": "x" * 600_000}}, "too long"),
        ({"ports": (PortBinding("a", "192.168.250.100", 9, 1), PortBinding("b", "192.168.250.100", 9, 2))}, "twice"),
        ({"stop_grace_seconds": -1}, "number of seconds"),
        ({"writable_paths": ("/proc/x",)}, "writable"),
        ({"files": {"/a/../b": "x"}}, "planted"),
        ({"files": {"/run/x": "a"}, "writable_paths": ("/run/x",)}, "twice"),
        ({"is_privileged": True}, "extra rights"),
        ({"sidecars": (beside(name="main"),)}, "sidecars"),
        ({"sidecars": (beside(), beside())}, "sidecars"),
        ({"sidecars": (beside(image=""),)}, "No image"),
    ],
)
def test_what_a_server_would_refuse_is_refused_with_its_reason(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(EngineError, match=told) as refused:
        rendered(spec_of(**changes))

    assert refused.value.permanent


def test_ports_outside_the_node_ports_are_refused_there() -> None:
    with pytest.raises(EngineError, match="30000"):
        rendered(spec_of(ports=(PortBinding("game", "10.0.0.1", 25565, 25565),)), NODE_PORTS)


@pytest.mark.parametrize(
    "options",
    [
        {"hub": "Not Valid"},
        {"exposure": "magic"},
        {"user": "root"},
        {"user": "0:0"},
        {"player_networks": "10.0.0.0/8"},
        {"closed_networks": ["10.0.0.0/99"]},
        {"storage_class": "A B"},
        {"egress": "no"},
        {"closed_networks": ["0.0.0.0/0"]},
        {"exposure": "node_ports", "player_networks": ["10.0.0.0/8"]},
        {"address_pool": "A B"},
        {"reach_pods": "yes"},
        {"dns_addresses": ["169.254.0.0/16"]},
    ],
)
def test_options_that_no_cluster_takes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(EngineError) as refused:
        Options.parse("west", options)

    assert refused.value.permanent


def test_the_fingerprint_follows_what_is_run_and_tells_no_secret() -> None:
    spec = spec_of()

    assert manifests.fingerprint(spec, SHARED) == manifests.fingerprint(spec_of(), SHARED)
    assert manifests.fingerprint(spec, SHARED) != manifests.fingerprint(replace(spec, env={"NAME": "b"}), SHARED)
    assert len(manifests.fingerprint(spec, SHARED)) == 16


TEXTS = st.text(max_size=40)
LIMITS = st.builds(
    Limits,
    memory_mb=st.integers(-1, 10**9),
    cpu_percent=st.integers(-1, 10**6),
    disk_mb=st.integers(-1, 10**9),
    tmp_mb=st.integers(-1, 10**5),
)
PORTS = st.builds(
    PortBinding,
    name=TEXTS,
    ip=st.one_of(st.ip_addresses().map(str), TEXTS),
    port=st.integers(-1, 70000),
    target_port=st.integers(-1, 70000),
    public=st.booleans(),
)
SPECS = st.builds(
    WorkloadSpec,
    kind=st.one_of(st.sampled_from(["server", "instance", "a-b"]), TEXTS),
    id=st.uuids(),
    generation=st.integers(0, 10**9),
    owner=TEXTS,
    command=st.lists(TEXTS, max_size=4),
    limits=LIMITS,
    image=st.one_of(st.just("games/arena:1"), TEXTS),
    env=st.dictionaries(st.one_of(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), TEXTS), TEXTS, max_size=4),
    ports=st.lists(PORTS, max_size=4),
    data_path=st.one_of(st.sampled_from(["", "/data"]), TEXTS),
    stop_signal=st.sampled_from(["SIGTERM", "SIGINT", "nonsense"]),
    stop_grace_seconds=st.integers(-1, 10**6),
    expires_at=st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
    secrets=st.lists(TEXTS, max_size=2),
)
# Most of what is drawn freely is refused at once; this half is made to get through.
GOOD = st.builds(
    WorkloadSpec,
    kind=st.sampled_from(["server", "instance"]),
    id=st.uuids(),
    generation=st.integers(0, 10**9),
    owner=TEXTS,
    command=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=4),
    limits=st.builds(
        Limits,
        memory_mb=st.integers(6, 10**6),
        cpu_percent=st.integers(1, 10**4),
        disk_mb=st.integers(1, 10**6),
        tmp_mb=st.integers(1, 10**4),
    ),
    image=st.just("games/arena:1"),
    env=st.dictionaries(
        st.from_regex(r"[A-Za-z_.-][A-Za-z0-9_.-]{0,20}", fullmatch=True),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
        max_size=4,
    ),
    ports=st.lists(
        st.builds(
            PortBinding,
            name=TEXTS,
            ip=st.ip_addresses().map(str),
            port=st.integers(1, 65535),
            target_port=st.integers(1, 65535),
            public=st.booleans(),
        ),
        max_size=4,
        unique_by=lambda port: (port.ip, port.port),
    ),
    data_path=st.sampled_from(["", "/data", "/srv/game.d"]),
    files=st.dictionaries(st.from_regex(r"/srv/[a-z]{1,5}", fullmatch=True), st.text(st.characters(codec="utf-8"))),
    writable_paths=st.lists(st.from_regex(r"/var/[a-z]{1,3}", fullmatch=True), max_size=2, unique=True),
    sidecars=st.lists(
        st.builds(
            Sidecar,
            name=st.from_regex(r"[a-z]{1,10}", fullmatch=True),
            image=st.just("db:1"),
            limits=st.just(Limits(memory_mb=64, cpu_percent=10, disk_mb=1)),
        ),
        max_size=2,
    ),
    egress=st.booleans(),
    team=TEXTS,
    probe=st.one_of(
        st.none(),
        st.builds(
            Probe, st.sampled_from(ProbeKind), st.integers(1, 65535), st.from_regex(r"/[a-z]{0,9}", fullmatch=True)
        ),
    ),
    shares_address=st.sampled_from([None, True, False]),
    added_capabilities=st.lists(st.sampled_from(["NET_ADMIN", "CAP_SYS_ADMIN"]), max_size=1),
    is_privileged=st.booleans(),
    stop_signal=st.sampled_from(["SIGTERM", "SIGINT"]),
    expires_at=st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(spec=st.one_of(SPECS, GOOD), options=st.sampled_from([SHARED, OWN, NODE_PORTS, GRANTING]))
def test_whatever_is_asked_is_refused_in_words_or_would_be_taken(spec: WorkloadSpec, options: Options) -> None:
    objects, refused = [], None
    try:
        objects = rendered(spec, options)
    except EngineError as error:
        refused = error

    assert refused is None or refused.permanent
    for manifest in objects:
        assert faults_of(manifest) == []
        assert schema_fault(manifest) == ""
