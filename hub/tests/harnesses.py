"""What the contract test needs to know of each engine: how to get one, and how to run a small program on it.

To add an engine, subclass `Harness` and add it to `HARNESSES`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hub.engines.base import Engine, EngineError, Limits, Observation, State, Usage, WorkloadSpec
from hub.engines.docker import DockerEngine
from hub.engines.fake import Behaviour, FakeEngine
from hub.engines.kubernetes import KubernetesEngine
from hub.engines.kubernetes.network import SHARING_KEY
from hub.engines.process import ProcessEngine
from hub.testing import wait_until

from .cluster import Cluster
from .cluster.role import shipped_role
from .cluster.server import Rule
from .docker_images import image

LIMITS = Limits(memory_mb=64, cpu_percent=100, disk_mb=64)


@dataclass(frozen=True)
class Program:
    """A program that every engine can run: a POSIX shell script, and how the fake engine plays it.

    Scripts find their persistent data in `$DATA`.
    """

    script: str
    behaviour: Behaviour


SLEEPER = Program("trap 'exit 0' TERM; echo ready; sleep 300 & wait", Behaviour(output=("ready",), stop_code=0))
STUBBORN = Program(
    "trap '' TERM; echo ready; while :; do sleep 0.2; done", Behaviour(output=("ready",), ignores_stop=True)
)
EXITS_3 = Program("echo bye; exit 3", Behaviour(output=("bye",), exits_at_start=3))
ANSWERS_INTERRUPT_WITH_4 = Program(
    "trap 'exit 4' INT; echo ready; sleep 300 & wait", Behaviour(output=("ready",), stop_code=4)
)
PRINTS_300_LINES = Program(
    "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; done; sleep 300",
    Behaviour(output=tuple(f"line {i}" for i in range(1, 301))),
)
PRINTS_ITS_PASSWORD = Program(
    'echo "password is $PASSWORD."; sleep 300', Behaviour(output=("password is canary-4711-secret.",))
)
ECHOES_INPUT = Program(
    'echo ready; while read -r line; do echo "$line"; done', Behaviour(output=("ready",), echoes_input=True)
)
BUSY = Program("echo ready; while :; do :; done", Behaviour(output=("ready",)))
KEEPS_A_FILE = Program('echo kept > "$DATA/kept"; echo ready; sleep 300', Behaviour(output=("ready",)))


class Harness(ABC):
    """One engine under test."""

    crosses_processes = True
    counts_processes = True
    keeps_output = True
    missing_ip = "198.51.100.7"

    def __init__(self) -> None:
        self.engine = self.reopen()
        self.names: list[str] = []

    @abstractmethod
    def factory(self) -> tuple[type[Engine], Mapping[str, Any]]:
        """The class and the options of this engine; other processes make their own from it."""

    @abstractmethod
    def spec(self, program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
        """A new workload that runs a program."""

    @abstractmethod
    def has_data(self, name: str) -> bool:
        """Say whether a workload's persistent data is there."""

    def reopen(self) -> Engine:
        """Another instance for the same node, as after a restart of the agent."""
        cls, options = self.factory()
        return cls(node="contract", options=options)

    def close(self) -> None:
        """Leave nothing behind."""
        for name in self.names:
            self.engine.remove(name)

    def hold(self, ip: str, port: int, kind: socket.SocketKind) -> AbstractContextManager[None]:
        """Let another program use an address."""
        return held_socket(ip, port, kind)

    def held_up(self) -> AbstractContextManager[None]:
        """Keep what is launched from running, where launches take their time."""
        return contextlib.nullcontext()

    def ensure(self, spec: WorkloadSpec) -> Observation:
        """Have a workload running, or raise what keeps it from that."""
        return self.engine.ensure(spec)

    def look(self, name: str) -> Observation:
        """What the engine sees of a workload that is there."""
        seen = self.engine.inspect(name)
        assert seen is not None, f"{name} is not there"
        return seen

    def usage(self, spec: WorkloadSpec) -> Usage:
        """Usage of one running workload."""
        return self.engine.usage()[spec.name]

    def wait_for_line(self, name: str, line: str) -> None:
        """Wait until a workload has printed a line."""
        wait_until(lambda: line in self.engine.logs(name).lines, what=f"the line {line[:40]!r}")

    def wait_for_exit(self, name: str) -> None:
        """Wait until a workload has ended."""
        wait_until(lambda: (seen := self.engine.inspect(name)) and not seen.is_running, what="an exit")

    def start(self, program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
        """Run a program; one that says "ready" has done so."""
        spec = self.spec(program, **changes)
        self.ensure(spec)
        if "ready" in program.behaviour.output:
            self.wait_for_line(spec.name, "ready")
        return spec

    def _spec(self, **fields: Any) -> WorkloadSpec:
        values = {"kind": "server", "id": uuid.uuid4(), "generation": 1, "owner": "contract", "limits": LIMITS}
        spec = WorkloadSpec(**{**values, **fields})
        self.names.append(spec.name)
        return spec


class FakeHarness(Harness):
    """The engine in memory: programs are played, sockets are marks."""

    crosses_processes = False

    def __init__(self) -> None:
        FakeEngine.reset()
        super().__init__()
        self.fake.state.missing_ips.add(self.missing_ip)

    @property
    def fake(self) -> FakeEngine:
        assert isinstance(self.engine, FakeEngine)
        return self.engine

    def factory(self) -> tuple[type[Engine], Mapping[str, Any]]:
        return FakeEngine, {}

    def spec(self, program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
        spec = self._spec(**{"command": ("sh", "-c", program.script), **changes})
        self.fake.behave(program.behaviour, spec.name)
        return spec

    def has_data(self, name: str) -> bool:
        return name in self.fake.state.data

    @contextlib.contextmanager
    def hold(self, ip: str, port: int, kind: socket.SocketKind) -> Iterator[None]:
        self.fake.state.occupied.add((ip, port))
        try:
            yield
        finally:
            self.fake.state.occupied.discard((ip, port))


class ProcessHarness(Harness):
    """Processes of this machine; as root they run as an unprivileged user."""

    cgroups = True

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="kutanga-workloads-"))
        self.root.chmod(0o711)
        super().__init__()

    def factory(self) -> tuple[type[Engine], Mapping[str, Any]]:
        user = "nobody" if os.geteuid() == 0 else ""
        return ProcessEngine, {"root": str(self.root / "workloads"), "user": user, "cgroups": self.cgroups}

    def spec(self, program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
        env = {"DATA": ".", **changes.pop("env", {})}
        return self._spec(**{"command": ("sh", "-c", program.script), "env": env, **changes})

    def has_data(self, name: str) -> bool:
        return (self.root / "workloads" / name / "data" / "kept").exists()

    def close(self) -> None:
        super().close()
        left = [path.name for path in self.root.rglob("*") if path.name != "workloads"]
        shutil.rmtree(self.root)
        assert not left, "removed workloads left something behind"


class BareProcessHarness(ProcessHarness):
    """Processes without control groups."""

    cgroups = False


class DockerHarness(Harness):
    """Containers of the Engine that answers here, in a part of it that is ours."""

    def __init__(self) -> None:
        self.namespace = f"contract-{uuid.uuid4().hex[:8]}"
        super().__init__()

    def factory(self) -> tuple[type[Engine], Mapping[str, Any]]:
        return DockerEngine, {"namespace": self.namespace}

    def spec(self, program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
        env = {"DATA": "/data", **changes.pop("env", {})}
        command = ("sh", "-c", program.script)
        return self._spec(
            **{"image": image("busybox"), "command": command, "data_path": "/data", "env": env, **changes}
        )

    def has_data(self, name: str) -> bool:
        assert isinstance(self.engine, DockerEngine)
        volume = self.engine.client.get(f"/volumes/{name}-data")
        return volume is not None and Path(volume["Mountpoint"], "kept").exists()

    def close(self) -> None:
        super().close()
        self.engine.teardown()


class KubernetesHarness(Harness):
    """A cluster that is our own stand-in: programs run as processes, addresses and namespaces as objects."""

    counts_processes = False  # metrics-server does not
    keeps_output = False  # a pod's output goes with it
    called: ClassVar[set[Rule]] = set()  # of the cluster's API, by all that this process has opened and closed

    def __init__(self) -> None:
        self.cluster = Cluster(shipped_role())
        self.cluster.version = "v1.35.0"
        super().__init__()

    def factory(self) -> tuple[type[Engine], Mapping[str, Any]]:
        return KubernetesEngine, {"credentials": {"kubeconfig": self.cluster.kubeconfig}}

    def spec(self, program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
        env = {"DATA": "/data", **changes.pop("env", {})}
        command = ("sh", "-c", program.script)
        return self._spec(**{"image": "busybox:1", "command": command, "data_path": "/data", "env": env, **changes})

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """No machine has room."""
        self.cluster.unschedulable = "0/1 nodes are available."
        yield
        self.cluster.unschedulable = ""

    def ensure(self, spec: WorkloadSpec) -> Observation:
        """The cluster takes its time, and tells later what others raise at once; the hub then takes it back."""
        seen = self.engine.ensure(spec)

        def settled() -> Observation | None:
            found = self.look(spec.name) if seen.state is State.CREATED else seen
            obstacle = found.obstacle
            if obstacle is not None and (obstacle.ip or obstacle.permanent):
                self.engine.remove(spec.name, keep_data=True)
                raise EngineError(obstacle.message, reason=obstacle.reason, ip=obstacle.ip, port=obstacle.port)
            return found if found.state is not State.CREATED or found.restart_count else None

        return wait_until(settled, what=f"{spec.name} in the cluster")

    def wait_for_exit(self, name: str) -> None:
        """A container that ends is started again at once; only then the cluster waits."""
        wait_until(lambda: (seen := self.engine.inspect(name)) and seen.state is State.EXITED, what="an exit")

    def has_data(self, name: str) -> bool:
        path = self.cluster.volumes.get((name, "data"))
        return path is not None and Path(path, "kept").exists()

    @contextlib.contextmanager
    def hold(self, ip: str, port: int, kind: socket.SocketKind) -> Iterator[None]:
        """A service of somebody else has it, and shares the IP: without that no other port of it could be had."""
        protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        ports = [{"port": port, "protocol": protocol}]
        service = self.cluster.put("services", "others", "web", type="ClusterIP", ports=ports)
        service["metadata"]["annotations"] = {SHARING_KEY: f"contract-{ip}"}
        service["status"] = {"loadBalancer": {"ingress": [{"ip": ip}]}}
        try:
            yield
        finally:
            with self.cluster.store.lock:
                self.cluster.store.remove("services", "others", "web")

    def close(self) -> None:
        try:
            super().close()
            assert {one["metadata"]["name"] for one in self.cluster.objects("namespaces")} <= {
                "others",
                "metallb-system",
            }
        finally:
            self.called.update(self.cluster.called)
            self.cluster.close()


HARNESSES = [
    pytest.param(FakeHarness, id="fake"),
    pytest.param(ProcessHarness, id="process"),
    pytest.param(BareProcessHarness, id="process-without-cgroups"),
    pytest.param(DockerHarness, id="docker", marks=pytest.mark.docker),
    pytest.param(KubernetesHarness, id="kubernetes"),
]


@contextlib.contextmanager
def held_socket(ip: str, port: int, kind: socket.SocketKind, *, reuse: bool = False) -> Iterator[None]:
    """Bind an address, and listen where that has a meaning."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, kind) as holder:
        if reuse:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((ip, port))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        yield
