"""What a workload reaches and who reaches it, tried from inside containers. All targets are this machine's own: dummy
interfaces, and a network namespace that stands for the rest of the world.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hub.engines.base import EngineError, Limits, PortBinding, Reason, WorkloadSpec
from hub.engines.docker import DockerEngine
from hub.testing import free_port, wait_until

from . import reach
from .docker_images import image

pytestmark = [pytest.mark.docker, pytest.mark.slow]

REACH = Path(reach.__file__).read_text(encoding="utf-8")
FAR = "kutanga-far"
LINK = {"host": ("10.255.77.1", "fd77:1::1"), "far": ("10.255.77.2", "fd77:1::2")}

# Addresses of the namespace that stands for other machines.
PRIVATE = ["10.77.0.5", "172.31.77.5", "192.168.77.5", "100.64.77.5", "198.18.77.5", "169.254.170.77", "fd77:5::5"]
METADATA = ["169.254.169.254", "fd00:ec2::254"]
TUNNELS = ["2002:a4d:5::5", "2001:db8:77::5"]
PUBLIC = ["192.88.99.77", "3fff:77::5"]  # nobody's, and not private: stands for the internet
FAR_IPS = [*PRIVATE, METADATA[1], *TUNNELS, *PUBLIC]
# Addresses of this machine besides its real ones.
OWN = ["10.88.77.1", "fd77:88::1"]
LEASED = "10.88.77.2"
PORTS = {"hub": 18000, "database": 15432, "redis": 16379}
FAR_PORT = 19000
INSIDE_PORT, HIDDEN_PORT, LEASED_PORT = 25565, 25575, 25565
EVERYWHERE = ["0.0.0.0", "::"]  # noqa: S104 - inside containers


@dataclass
class World:
    """The engine under test and all that is around it."""

    engine: DockerEngine
    host_targets: list[tuple[str, int]]
    far_targets: list[tuple[str, int]]

    def start(self, *words: str, ports: Sequence[PortBinding] = (), **fields: Any) -> WorkloadSpec:
        """Run the script for reaching in a workload."""
        spec = WorkloadSpec(
            kind="server",
            id=uuid.uuid4(),
            generation=1,
            owner="tests",
            image=image("python"),
            command=("python3", "-c", REACH, *words),
            limits=Limits(memory_mb=128, cpu_percent=100, disk_mb=64),
            ports=ports,
            **fields,
        )
        self.engine.ensure(spec)
        return spec

    def serve(self, **fields: Any) -> WorkloadSpec:
        """Run a workload that answers on its own network, over both IP versions."""
        inside = [(ip, port) for ip in EVERYWHERE for port in (INSIDE_PORT, HIDDEN_PORT)]
        spec = self.start("serve", json.dumps(inside), **fields)
        wait_until(lambda: "serving" in self.engine.logs(spec.name).lines, what="the server in the container")
        return spec

    def addresses(self, spec: WorkloadSpec) -> list[str]:
        """A workload's own addresses."""
        found = self.engine.client.get(f"/containers/{spec.name}/json")["NetworkSettings"]["Networks"]
        return [network[key] for network in found.values() for key in ("IPAddress", "GlobalIPv6Address")]

    def reached_from_inside(self, targets: Sequence[tuple[str, int]], **fields: Any) -> set[str]:
        """Try every target from a new workload; returns those that answered."""
        spec = self.start("attempt", json.dumps(targets), **fields)
        wait_until(lambda: not self.engine.inspect(spec.name).is_running, what="the attempts")
        lines = self.engine.logs(spec.name).lines
        self.engine.remove(spec.name)
        return _reached(lines[-1])


def test_workload_reaches_nothing_but_the_internet(world: World):
    neighbour = world.serve()
    public = everything(PUBLIC)
    inside = [(ip, INSIDE_PORT) for ip in world.addresses(neighbour)]
    targets = [*world.host_targets, *world.far_targets, *inside]
    assert reached_from_here(targets) == everything_of(targets), "a target that does not listen proves nothing"

    reached = world.reached_from_inside(targets)

    assert reached == public


def test_workload_does_not_reach_the_gateway_by_its_link_address(world: World):
    bridge = world.engine.names.bridge
    (link,) = addresses_of(bridge, scope="link")[:1]

    with listening([(f"{link}%{bridge}", PORTS["hub"])]):
        assert reached_from_here([(f"{link}%{bridge}", PORTS["hub"])])
        reached = world.reached_from_inside([(f"{link}%eth0", PORTS["hub"])])

    assert reached == set()


def test_the_rules_are_what_keeps_workloads_in(world: World, monkeypatch: pytest.MonkeyPatch):
    """Without our rules the same attempts succeed."""
    monkeypatch.setattr(world.engine.firewall, "lay", lambda: False)
    world.engine.firewall.remove()
    try:
        reached = world.reached_from_inside([*world.host_targets, *world.far_targets])
    finally:
        monkeypatch.undo()
        world.engine.prepare()

    assert reached == everything_of([*world.host_targets, *world.far_targets])


def test_workload_does_not_reach_another_through_its_published_port(world: World):
    world.serve(ports=published(LEASED))
    assert reached_from_here([(LEASED, LEASED_PORT)]) == everything([LEASED], LEASED_PORT)

    reached = world.reached_from_inside([(LEASED, LEASED_PORT)])

    assert reached == set()


def test_container_of_somebody_else_is_out_of_reach(world: World):
    """On Docker's own default bridge."""
    name = f"kutanga-stranger-{uuid.uuid4().hex[:8]}"
    words = ["python3", "-c", REACH, "serve", json.dumps([(EVERYWHERE[0], INSIDE_PORT)])]
    subprocess.run(["docker", "run", "--detach", "--name", name, image("python"), *words], check=True, timeout=60)
    try:
        found = world.engine.client.get(f"/containers/{name}/json")
        target = [(found["NetworkSettings"]["IPAddress"], INSIDE_PORT)]
        wait_until(lambda: reached_from_here(target), what="the stranger")

        reached = world.reached_from_inside(target)
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, timeout=60)

    assert reached == set()


def test_published_port_is_reached_over_tcp_and_udp_from_private_networks_too(world: World):
    world.serve(ports=published(LEASED))

    reached = reached_from_far([(LEASED, LEASED_PORT)])

    assert reached == everything([LEASED], LEASED_PORT)


def test_published_port_on_loopback_is_reached_from_this_machine(world: World):
    port = free_port()
    world.serve(ports=(replace(published("127.0.0.1")[0], port=port),))

    reached = reached_from_here([("127.0.0.1", port)])

    assert reached == everything(["127.0.0.1"], port)


def test_published_port_on_an_ipv6_address_is_reached(world: World):
    world.serve(ports=published(OWN[1]))

    reached = reached_from_far([(OWN[1], LEASED_PORT)])

    assert reached == everything([OWN[1]], LEASED_PORT)


def test_port_is_published_on_the_leased_address_only(world: World):
    world.serve(ports=published(LEASED))

    assert reached_from_far([(OWN[0], LEASED_PORT)]) == set()


def test_agent_reaches_unpublished_ports(world: World):
    spec = world.serve()
    host = world.engine.inspect(spec.name).host

    assert reached_from_here([(host, HIDDEN_PORT)]) == everything([host], HIDDEN_PORT)


def test_other_machines_do_not_reach_a_workload_past_its_published_port(world: World):
    """A neighbour who routes through this machine knows the container's own address."""
    spec = world.serve(ports=published(LEASED))
    inside = world.addresses(spec)

    reached = reached_from_far([(ip, port) for ip in inside for port in (INSIDE_PORT, HIDDEN_PORT)])

    assert reached == set()


def test_own_subnet_is_as_closed_and_as_reachable(world: World):
    spec = world.serve(subnet="10.201.77.0/29", ports=published(LEASED))
    host = world.engine.inspect(spec.name).host

    assert host.startswith("10.201.77.")
    assert reached_from_here([(host, HIDDEN_PORT)]) == everything([host], HIDDEN_PORT)
    assert reached_from_far([(LEASED, LEASED_PORT)]) == everything([LEASED], LEASED_PORT)
    assert world.reached_from_inside([(host, INSIDE_PORT)]) == set()
    world.engine.remove(spec.name)
    assert world.engine.client.get(f"/networks/{spec.name}") is None


@pytest.mark.parametrize("subnet", ["", "10.201.77.16/29"], ids=["shared", "own"])
def test_closed_workload_reaches_nothing_and_still_answers(world: World, subnet: str):
    targets = [*world.host_targets, *world.far_targets]
    closed = {"subnet": subnet, "egress": False}

    assert world.reached_from_inside(targets, **closed) == set()
    public = PUBLIC[:1] if subnet else PUBLIC  # a subnet is of one IP version
    assert world.reached_from_inside(targets, subnet=subnet) == everything(public), "the switch alone does it"
    world.serve(ports=published(LEASED), **closed)
    assert reached_from_far([(LEASED, LEASED_PORT)]) == everything([LEASED], LEASED_PORT)


@pytest.mark.parametrize(
    "damage",
    [
        ["-I", "INPUT", "-j", "ACCEPT"],
        ["-I", "DOCKER-USER", "-j", "ACCEPT"],
        ["-F", "INPUT"],
        ["-F", "DOCKER-USER"],
        ["-F", "HUB-{tag}-FROM"],
        ["-D", "HUB-{tag}-FROM", "3"],
    ],
    ids=" ".join,
)
def test_prepare_mends_the_rules(world: World, damage: list[str]):
    words = [word.format(tag=world.engine.names.tag.upper()) for word in damage]
    sh("iptables", "-w", *words)
    try:
        mended = world.engine.firewall.lay()

        assert mended
        assert not world.engine.firewall.lay()
        assert world.reached_from_inside([*world.host_targets, (PRIVATE[0], FAR_PORT)]) == set()
    finally:
        if damage[-1] == "ACCEPT":
            sh("iptables", "-w", "-D", damage[1], "-j", "ACCEPT")
        sh("iptables", "-w", "-C", "DOCKER-USER", "-j", "RETURN", check=False) or sh(
            "iptables", "-w", "-A", "DOCKER-USER", "-j", "RETURN"
        )


def test_options_open_name_servers_and_networks(world: World):
    options = {**world.engine.options, "dns": [PRIVATE[0]], "allowed_networks": ["192.168.77.0/24", "fd77:5::/64"]}
    world.engine = DockerEngine(node="test", options=options)
    world.engine.prepare()
    with listening([(PRIVATE[0], 53)], far=True):
        reached = world.reached_from_inside([(PRIVATE[0], 53), *world.far_targets])

    opened = [*PUBLIC, "192.168.77.5", "fd77:5::5"]
    assert reached == everything(opened) | everything([PRIVATE[0]], 53)


def test_nothing_starts_where_the_firewall_cannot_be_laid(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    world.engine = DockerEngine(node="test", options=world.engine.options)
    before = world.engine.list_owned()

    with pytest.raises(EngineError) as refused:
        world.start("serve", "[]")

    assert (refused.value.reason, refused.value.permanent) == (Reason.UNAVAILABLE, False)
    assert world.engine.list_owned() == before


def test_teardown_waits_for_workloads_and_leaves_nothing(surroundings: None):
    engine = engine_of("test-teardown")
    spec = World(engine, [], []).serve(subnet="10.201.77.8/29")
    names = engine.names
    assert names.bridges in sh("ip", "link")
    with pytest.raises(EngineError) as refused:
        engine.teardown()

    clear(engine)

    assert refused.value.reason is Reason.REFUSED
    rules = sh("iptables", "-w", "-S") + sh("ip6tables", "-w", "-S")
    assert names.tag not in rules.lower()
    assert [engine.client.get(f"/networks/{name}") for name in (names.network, spec.name)] == [None, None]
    assert names.bridges not in sh("ip", "link")


# The world around.


@pytest.fixture
def world(node: World) -> Iterator[World]:
    """The node, cleaned of what a test has started there, with listeners on every address of this machine."""
    world = replace(node)
    residents = {seen.name for seen in node.engine.list_owned()}
    with listening(world.host_targets):
        yield world
    for seen in node.engine.list_owned():
        if seen.name not in residents:
            node.engine.remove(seen.name)


@pytest.fixture(scope="module")
def node(surroundings: None) -> Iterator[World]:
    """A node with one workload on its network: an empty bridge does not use its IPv6 address."""
    engine = engine_of("test-network", subnet="10.200.77.0/24", subnet6="fd77:7e57::/64")
    world = World(engine, [], [(ip, FAR_PORT) for ip in FAR_IPS])
    try:
        world.serve()
        wait_until(lambda: "tentative" not in sh("ip", "-6", "address", "show", "dev", engine.names.bridge))
        own = [*addresses_of(engine.names.bridge), *addresses_of("docker0"), *OWN, METADATA[0]]
        world.host_targets += [(ip, port) for ip in own for port in PORTS.values()]
        yield world
    finally:
        clear(engine)


def engine_of(namespace: str, **options: str) -> DockerEngine:
    return DockerEngine(node="test", options={"namespace": namespace, **options})


def clear(engine: DockerEngine) -> None:
    """Leave nothing of an engine's namespace."""
    for seen in engine.list_owned():
        engine.remove(seen.name)
    engine.teardown()


@pytest.fixture(scope="module")
def surroundings() -> Iterator[None]:
    """Addresses on dummy interfaces, and a namespace behind a link that stands for other machines."""
    tear_down_surroundings()
    try:
        sh("ip", "link", "add", "kutanga-own", "type", "bridge")  # without ports: an interface of nobody
        for ip in [*OWN, LEASED, METADATA[0]]:
            add_address("kutanga-own", ip)
        sh("ip", "link", "set", "kutanga-own", "up")
        sh("ip", "netns", "add", FAR)
        sh("ip", "link", "add", "kutanga-link", "type", "veth", "peer", "name", "kutanga-peer", "netns", FAR)
        connect_namespace()
        with listening([(ip, FAR_PORT) for ip in FAR_IPS], far=True):
            yield
    finally:
        tear_down_surroundings()


def connect_namespace() -> None:
    """Give both ends addresses, and send what is meant for the far ones there and nowhere else."""
    for ip, bits in zip(LINK["host"], ("30", "64"), strict=True):
        sh("ip", "address", "add", f"{ip}/{bits}", "dev", "kutanga-link", *nodad(ip))
    for ip, bits in zip(LINK["far"], ("30", "64"), strict=True):
        sh("ip", "-n", FAR, "address", "add", f"{ip}/{bits}", "dev", "kutanga-peer", *nodad(ip))
    sh("ip", "link", "set", "kutanga-link", "up")
    for device in ("lo", "kutanga-peer"):
        sh("ip", "-n", FAR, "link", "set", device, "up")
    for version, gateway in zip(("-4", "-6"), LINK["host"], strict=True):
        sh("ip", version, "-n", FAR, "route", "add", "default", "via", gateway)
    for ip in FAR_IPS:
        add_address("lo", ip, "-n", FAR)
        sh("ip", "route", "add", f"{ip}/{bits_of(ip)}", "via", LINK["far"][":" in ip])


def tear_down_surroundings() -> None:
    for words in (["netns", "delete", FAR], ["link", "delete", "kutanga-own"], ["link", "delete", "kutanga-link"]):
        sh("ip", *words, check=False)


@contextlib.contextmanager
def listening(targets: Sequence[tuple[str, int]], *, far: bool = False) -> Iterator[None]:
    """Answer on these addresses of this machine, or of the namespace."""
    prefix = ["ip", "netns", "exec", FAR] if far else []
    words = [*prefix, sys.executable, "-c", REACH, "serve", json.dumps(targets)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "serving\n"
            yield
        finally:
            server.kill()


def reached_from_here(targets: Sequence[tuple[str, int]]) -> set[str]:
    return _reached(sh(sys.executable, "-c", REACH, "attempt", json.dumps(targets)))


def reached_from_far(targets: Sequence[tuple[str, int]]) -> set[str]:
    words = ["ip", "netns", "exec", FAR, sys.executable, "-c", REACH, "attempt", json.dumps(targets)]
    return _reached(sh(*words))


def everything(ips: Sequence[str], port: int = FAR_PORT) -> set[str]:
    return everything_of([(ip, port) for ip in ips])


def everything_of(targets: Sequence[tuple[str, int]]) -> set[str]:
    return {f"{protocol}/{ip}/{port}" for ip, port in targets for protocol in ("tcp", "udp")}


def published(ip: str) -> tuple[PortBinding, ...]:
    return (
        PortBinding(name="game", ip=ip, port=LEASED_PORT, target_port=INSIDE_PORT),
        PortBinding(name="rcon", ip=ip, port=HIDDEN_PORT, target_port=HIDDEN_PORT, public=False),
    )


def add_address(device: str, ip: str, *where: str) -> None:
    sh("ip", *where, "address", "add", f"{ip}/{bits_of(ip)}", "dev", device, *nodad(ip))


def addresses_of(device: str, scope: str = "global") -> list[str]:
    """The addresses of an interface."""
    (found,) = json.loads(sh("ip", "-json", "address", "show", "dev", device))
    return [entry["local"] for entry in found["addr_info"] if entry["scope"] == scope]


def bits_of(ip: str) -> int:
    return 128 if ":" in ip else 32


def nodad(ip: str) -> list[str]:
    return ["nodad"] if ":" in ip else []


def sh(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or not check, f"{' '.join(words[:6])}: {done.stderr}"
    return done.stdout or ("done" if done.returncode == 0 else "")


def _reached(line: str) -> set[str]:
    return {target for target, answered in json.loads(line).items() if answered}
