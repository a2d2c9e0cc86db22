"""Processes that cannot be mistaken for later ones with the same number, and how to end a workload's last ones."""

from __future__ import annotations

import os
import signal as signals
import time
from collections.abc import Callable
from dataclasses import dataclass

from .shim.processes import start_ticks, stat_fields

WORKLOAD_VARIABLE = "HUB_WORKLOAD"


@dataclass(frozen=True)
class Process:
    """A process by number and start time; the caller has compared the boot."""

    pid: int
    start: int

    def is_alive(self) -> bool:
        """Say whether it runs; a zombie counts as dead."""
        return start_ticks(self.pid) == self.start

    def signal(self, number: int) -> bool:
        """Signal it, and only it: the descriptor is taken before the start time is compared."""
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.is_alive():
                return False
            signals.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        return True


def workload_processes(name: str, session: int) -> list[Process]:
    """Find processes of a workload whose shim is gone and that no cgroup holds: by session, or by our mark.

    The mark is a variable in the environment. A program that leaves its session *and* rewrites its environment escapes
    this; only a cgroup or a living shim would catch it.
    """
    mark = f"{WORKLOAD_VARIABLE}={name}\0".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = stat_fields(int(entry))
            if fields[0] in (b"Z", b"X") or not (int(fields[3]) == session or _has_mark(entry, mark)):
                continue
        except (OSError, IndexError):
            continue
        found.append(Process(int(entry), int(fields[19])))
    return found


def end_all(find: Callable[[], list[Process]], timeout_seconds: float) -> bool:
    """Kill what `find` finds until it finds nothing; False when time runs out first."""
    deadline = time.monotonic() + timeout_seconds
    while processes := find():
        for process in processes:
            process.signal(signals.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def wait_for(condition: Callable[[], bool], timeout_seconds: float) -> bool:
    """Poll closely: what is waited for takes milliseconds."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _has_mark(entry: str, mark: bytes) -> bool:
    with open(f"/proc/{entry}/environ", "rb") as environ:
        return mark in b"\0" + environ.read()
