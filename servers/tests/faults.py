"""Processes that act for the hub and are killed on purpose, and what must hold once somebody else has tidied up.

A `House` is a node with the process engine and real programs. `in_child` forks a process that stands in for a worker or
a web process and arms a failpoint in it; `recover` is what the next agent does; `House.complaints` says what is wrong
with database, engine and machine together.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from django.db import connection, connections
from django.db.models.functions import Now

from accounts.models import User
from accounts.tests.factories import UserFactory
from hub import failpoints
from hub.engines.process import ProcessEngine
from hub.engines.process.processes import WORKLOAD_VARIABLE
from hub.launcher.processes import follow_parent
from hub.launcher.users import unprivileged_user
from hub.nodes.choices import AddressState, DesiredStatus, ObservedStatus
from hub.nodes.engines import engine_for
from hub.nodes.models import Address, AddressRequest, Node, Operation
from hub.nodes.sweep import sweep, tick
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import PORTS, wait_until
from servers.models import GameServer, Template
from servers.services import create_server

from .factories import TemplateFactory

logger = logging.getLogger(__name__)
PATIENCE = 60.0
S = ObservedStatus
SHOULD_BE = {DesiredStatus.RUNNING: S.RUNNING, DesiredStatus.STOPPED: S.STOPPED}


@dataclass
class House:
    """One node with real processes, one owner and one template."""

    node: Node
    owner: User
    template: Template
    root: Path
    ids: set[str] = field(default_factory=set)

    @property
    def engine(self) -> ProcessEngine:
        engine = engine_for(self.node)
        assert isinstance(engine, ProcessEngine)
        return engine

    def create(self, name: str = "arena", **values: Any) -> GameServer:
        """Make a server through the service."""
        asked = {"memory_mb": 1024, "disk_mb": 5000, "cpu_percent": 50, **values}
        server = create_server(actor=self.owner, template=self.template, region=self.node.region, name=name, **asked)
        self.ids.add(str(server.pk))
        return server

    def programs(self, server: GameServer) -> list[int]:
        """The processes that run for a server, known by the mark in their environment."""
        return [pid for pid, name in marked_processes() if name == server.engine_name]

    def is_settled(self) -> bool:
        """Whether every server has become what it shall be and every wish has its fate."""
        rows = GameServer.objects.filter(node=self.node).values_list("desired_status", "observed_status")
        return all(SHOULD_BE.get(asked, S.DELETED) == seen for asked, seen in rows) and not self.open_operations()

    def open_operations(self) -> list[str]:
        return [f"{operation} is {operation.status}" for operation in Operation.objects.open()]

    def complaints(self) -> list[str]:
        """Everything that does not fit together; nothing when all is well."""
        servers = list(GameServer.objects.filter(node=self.node))
        return [
            *(
                f"{server.name} shall be {server.desired_status}, is {server.observed_status}: {server.status_reason}"
                for server in servers
                if SHOULD_BE.get(server.desired_status, S.DELETED) != server.observed_status
            ),
            *self._wrong_processes(servers),
            *self._wrong_addresses(servers),
            *self.open_operations(),
            *(f"{server.name} counts {server.restart_count} crashes" for server in servers if server.restart_count),
            *(f"{server.name} is still leased" for server in servers if server.lease_token),
        ]

    def _wrong_processes(self, servers: list[GameServer]) -> Iterator[str]:
        running = {s.engine_name: s.generation for s in servers if s.observed_status == S.RUNNING}
        alive = {s.engine_name for s in servers if s.observed_status != S.DELETED}
        names = {s.engine_name: s.name for s in servers}
        found: dict[str, int] = {}
        for _, name in marked_processes():
            found[name] = found.get(name, 0) + 1
        shims = shim_names()
        for name in self._mine(found) | set(running):
            if found.get(name, 0) != (name in running):
                yield f"{names.get(name, name)} has {found.get(name, 0)} programs"
        for name in self._mine(shims) | set(running):
            if shims.count(name) != (name in running):
                yield f"{names.get(name, name)} has {shims.count(name)} shims"
        for seen in self.engine.list_owned():
            if seen.name not in alive:
                yield f"the engine holds {seen.name}, which nobody knows"
            elif seen.is_running and seen.generation != running.get(seen.name):
                yield f"{seen.name} runs generation {seen.generation}, not {running.get(seen.name)}"
        for entry in sorted(os.listdir(self.root)) if self.root.exists() else []:
            if entry not in alive:
                yield f"{entry} is left on disk"

    def _mine(self, names: Any) -> set[str]:
        return {name for name in names if name.removeprefix("hub-server-") in self.ids}

    def _wrong_addresses(self, servers: list[GameServer]) -> Iterator[str]:
        wanted = {
            (server.pk, port.name)
            for server in servers
            if server.observed_status != S.DELETED
            for port in server.ports_wanted()
        }
        leased = list(
            Address.objects.filter(node=self.node, state=AddressState.LEASED).values_list("holder", "port_name")
        )
        if sorted(leased) != sorted(wanted):
            yield f"leased are {leased}, wanted are {wanted}"
        if AddressRequest.objects.filter(node=self.node).exists():
            yield "somebody waits for an address although there are enough"


@contextmanager
def open_house(*, size: int = 12, **template: Any) -> Iterator[House]:
    """A house whose processes and files are gone in the end, whatever happened."""
    top = Path(tempfile.mkdtemp(prefix="kutanga-faults-"))
    top.chmod(0o711)
    root = top / "workloads"
    user = unprivileged_user().name if os.geteuid() == 0 else ""
    node = NodeFactory(engine="process", options={"root": str(root), "user": user})
    first = free_range(2 * size)
    PoolFactory(node=node, size=size, first_port=first, quarantine_seconds=0)
    PoolFactory(node=node, size=size, first_port=first + size, is_public=False, quarantine_seconds=0)
    owner = UserFactory(role="Admin")
    house = House(node, owner, TemplateFactory(stop_grace_seconds=5, **template), root)
    try:
        yield house
    finally:
        engine = ProcessEngine(node=node.name, options=node.options)
        for seen in engine.list_owned():
            engine.remove(seen.name)
        shutil.rmtree(top)


def free_range(count: int) -> int:
    """The first of so many neighbouring ports that nobody uses now; other test runs of this machine look elsewhere."""
    start = PORTS.start + os.getpid() * 1009 % (len(PORTS) - count)
    for first in (*range(start, PORTS.stop - count, count), *range(PORTS.start, start, count)):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


# --- Processes ----------------------------------------------------------------------------------------------------


def marked_processes() -> Iterator[tuple[int, str]]:
    """Living processes that carry the mark of a workload, with its name."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            name = process.environ().get(WORKLOAD_VARIABLE)
            if name and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid, name


def shim_names() -> list[str]:
    """For every living shim of this machine, the workload it looks after."""
    names = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ValueError):
            arguments = process.cmdline()
            if "import shim.main" in " ".join(arguments) and process.status() != psutil.STATUS_ZOMBIE:
                names.append(arguments[-2])
    return names


def in_child(action: Callable[[], object], *, failpoint: str = "") -> int:
    """Fork a process that acts, killed at a failpoint if one is named; returns its pid. Wait for it with `ending_of`.

    `name=sleep:0.5` delays it instead. Connections do not survive a fork, nor do the threads of their pool: both are
    closed before. Nor does an event loop, beside which Django keeps other connections than those closed here.
    """
    assert asyncio._get_running_loop() is None, "a child of this thread would find connections from before its loop"
    connections.close_all()
    connection.close_pool()
    follow = follow_parent(signal.SIGKILL)
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if follow:
            follow()
        failpoints._passed.clear()
        if failpoint:
            os.environ["HUB_FAILPOINT"] = failpoint if "=" in failpoint else f"{failpoint}=kill"
        action()
        code = 0
    except Exception:
        logger.exception("a child of the test failed")
    finally:
        os._exit(code)


def ending_of(pid: int, seconds: float = PATIENCE) -> int:
    """How a child ended: its exit code, or the negative number of the signal."""
    deadline = time.monotonic() + seconds
    while not (found := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            kill(pid)
            raise AssertionError(f"the child did not end within {seconds:g} s")
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(found[1])


def kill(pid: int) -> None:
    """SIGKILL a child of ours, and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def work(node: Node, until: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
    """What the sweep loop of an agent does, faster. What is due is looked at once at least: a dead one may hold it."""
    sweep(node)
    deadline = time.monotonic() + seconds
    tick(node)
    while not until():
        assert time.monotonic() < deadline, "the agent's work did not come to an end"
        time.sleep(0.02)
        tick(node)


def lasting_complaints(house: House, known: list[str] | None = None) -> list[str]:
    """What stays wrong, but for what is known, for longer than processes take to end and an agent for a step."""
    with suppress(AssertionError):
        wait_until(lambda: house.complaints() == (known or []), PATIENCE, pause=0.1)
    return house.complaints()


def recover(house: House) -> None:
    """What the next agent does: it finds the leases of the dead run out, sweeps, does what is due, and sweeps again."""
    wait_until(lambda: not GameServer.objects.filter(lease_until__gt=Now()).exists(), what="the end of all leases")
    work(house.node, house.is_settled)
    sweep(house.node)
