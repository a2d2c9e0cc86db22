"""What is broken, what people may notice of it, and how long it may last."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from .dock import kill_docker
from .network import cut_network
from .world import World

Undo = Callable[[], None]


def nothing() -> None:
    """What is killed is started again by the launcher."""


@dataclass(frozen=True)
class Fault:
    """One row. `may_fail` names what people may notice at all; the bounds are in seconds."""

    name: str
    seen: str
    heals: str
    act: Callable[[World], Undo]
    may_fail: frozenset[str]
    bound: float
    hold: float = 0
    needs: str = ""
    """What the machine must have for it; without, the row says so."""
    service: str = ""
    """The process of the launcher that has to be another one afterwards."""


def kill(name: str) -> Callable[[World], Undo]:
    """SIGKILL to the process and all below it, at once; programs of workloads are nobody's children."""

    def act(world: World) -> Undo:
        process = psutil.Process(world.pid(name))
        for each in [process, *process.children(recursive=True)]:
            os.kill(each.pid, signal.SIGKILL)
        return nothing

    return act


def fill_disk(world: World) -> Undo:
    """Leave no byte on the disk that holds everything the hub writes."""
    path = world.root / "filler"
    size = shutil.disk_usage(world.root).free
    with path.open("wb", buffering=0) as file:
        try:
            for _ in range(size // 2**20 + 64):
                file.write(b"\0" * 2**20)
        except OSError:
            pass
    return path.unlink


def killed(service: str, name: str, seen: str, heals: str, *, is_noticed: bool = False, bound: float = 30) -> Fault:
    """A process of the launcher's that dies and is started again: another one has to be there afterwards."""
    may_fail = frozenset({"reads", "writes"} if is_noticed else ())
    return Fault(name, seen, f"the launcher starts {heals}", kill(service), may_fail, bound, service=service)


FAULTS = {
    "web": killed(
        "web",
        "all web processes are killed",
        "pages and API do not answer; games go on",
        "them again",
        is_noticed=True,
    ),
    "agent": killed(
        "agent",
        "the agent is killed with all its workers",
        "wishes wait; pages answer, games go on",
        "it again; the sweep finds what was asked",
    ),
    "scheduler": killed(
        "scheduler",
        "the scheduler is killed",
        "nothing",
        "it again; what was due meanwhile runs then",
    ),
    "redis": killed(
        "valkey",
        "Valkey is killed and has forgotten everything",
        "a request may be slow or fail while it is away; games go on",
        "it again; what was queued comes from PostgreSQL",
        is_noticed=True,
    ),
    "postgres": killed(
        "postgres",
        "PostgreSQL is killed",
        "pages and API answer 503 or not at all; games go on",
        "it again, it replays its log; everybody connects anew",
        is_noticed=True,
        bound=60,
    ),
    "disk": Fault(
        "the disk is full for ten seconds",
        "writing fails, reading may; games go on",
        "PostgreSQL goes on, or starts anew, when there is room",
        fill_disk,
        frozenset({"reads", "writes"}),
        60,
        hold=10,
        needs="root",
    ),
    "network": Fault(
        "a node's agent is cut off from database and Redis for twenty seconds",
        "wishes for that node wait; its games go on, and so does everything else",
        "the agent goes on when it is back, and fulfils what was asked meanwhile",
        cut_network,
        frozenset(),
        60,
        hold=20,
        needs="root",
    ),
    "docker": Fault(
        "a node's Docker daemon is killed, and started again five seconds later",
        "wishes for that node wait; its games go on, and end for a moment when Docker is back",
        "Docker ends the containers it finds (without live-restore); the agent starts them, and counts no crash",
        kill_docker,
        frozenset(),
        60,
        hold=5,
        needs="root and dockerd",
    ),
}
