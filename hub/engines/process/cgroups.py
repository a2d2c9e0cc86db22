"""Control groups, version 1 and 2: what may be limited here, and one group per workload.

Groups live in `kutanga-hub/<workload>` below the root of each hierarchy when we are root, else beside or below our own
group when that was delegated to us. Where none can be made, the shim watches memory and processes, and the rest has no
limit.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..base import Limits
from ..control_groups import GroupUsage, read_usage
from .processes import Process
from .shim.processes import start_ticks

PARENT = "kutanga-hub"
V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio")
V2_CONTROLLERS = ("memory", "cpu", "pids", "io")
PERIOD_US = 100_000


@dataclass(frozen=True)
class Cgroups:
    """The parents of our groups by controller; no parents means no cgroups."""

    version: int = 0
    parents: dict[str, Path] = field(default_factory=dict)

    def group(self, name: str, controllers: Collection[str] | None = None) -> Group:
        """A workload's group, of all controllers or of some."""
        wanted = self.parents.keys() if controllers is None else self.parents.keys() & set(controllers)
        return Group(self.version, {controller: self.parents[controller] / name for controller in wanted})


@dataclass(frozen=True)
class Group:
    """The group of one workload, in each hierarchy."""

    version: int
    paths: dict[str, Path]

    def create(self, limits: Limits) -> dict[str, str]:
        """Make the group anew with these limits; returns the directory of each controller that took them."""
        self.remove()
        taken = {}
        for controller, path in self.paths.items():
            with contextlib.suppress(OSError):
                path.mkdir(mode=0o755, exist_ok=True)
                for file, value in self._settings(controller, limits):
                    write(path / file, value)
                taken[controller] = str(path)
        with contextlib.suppress(OSError, KeyError):  # absent where the kernel does not account swap
            file, value = self._swap(limits)
            write(self.paths["memory"] / file, value)
        return taken

    def processes(self) -> list[Process]:
        """Everything alive in the group."""
        found = set()
        for path in self._directories():
            with contextlib.suppress(OSError):
                for line in (path / "cgroup.procs").read_text(encoding="ascii").split():
                    if (start := start_ticks(int(line))) is not None:
                        found.add(Process(int(line), start))
        return list(found)

    def forbid_forks(self) -> None:
        """Leave no room for new processes, so that killing outruns forking."""
        with contextlib.suppress(OSError, KeyError):
            write(self.paths["pids"] / "pids.max", "0")

    def remove(self) -> None:
        """Remove the group; one that still holds processes stays."""
        for path in self._directories():
            for _ in range(5):
                try:
                    path.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.002)  # the last process may still be on its way out

    def usage(self) -> GroupUsage:
        """Read the counters; memory without the page cache that can be dropped."""
        return read_usage(self.version, self.paths)

    def _directories(self) -> Iterable[Path]:
        return set(self.paths.values())

    def _settings(self, controller: str, limits: Limits) -> list[tuple[str, str]]:
        memory, quota = str(limits.memory_mb * 1024**2), str(max(1000, limits.cpu_percent * PERIOD_US // 100))
        tables = {
            1: {
                "memory": [("memory.limit_in_bytes", memory)],
                "cpu": [("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", quota)],
                "pids": [("pids.max", str(limits.pids))],
            },
            2: {
                "memory": [("memory.max", memory)],
                "cpu": [("cpu.max", f"{quota} {PERIOD_US}")],
                "pids": [("pids.max", str(limits.pids))],
            },
        }
        return tables[self.version].get(controller, [])

    def _swap(self, limits: Limits) -> tuple[str, str]:
        if self.version == 2:
            return "memory.swap.max", str(limits.swap_mb * 1024**2)
        return "memory.memsw.limit_in_bytes", str((limits.memory_mb + limits.swap_mb) * 1024**2)


@functools.cache
def detect(
    mountinfo: str = "/proc/self/mountinfo", own: str = "/proc/self/cgroup", is_root: bool | None = None
) -> Cgroups:
    """Find where groups can be made; makes our parent group there."""
    is_root = os.geteuid() == 0 if is_root is None else is_root
    v1, v2 = _mounts(Path(mountinfo))
    groups = _own_groups(Path(own))
    if "memory" in v1 or "pids" in v1 or "cpu" in v1:
        parents = {
            controller: parent
            for controller, mount in v1.items()
            if (parent := _first_usable(_candidates(mount, groups.get(controller, "/"), is_root)))
        }
        return Cgroups(1, parents) if parents else Cgroups()
    if v2 is not None:
        for candidate in _candidates(v2, groups.get("", "/"), is_root):
            if enabled := _enable_v2(candidate):
                return Cgroups(2, dict.fromkeys(enabled, candidate))
    return Cgroups()


def write(file: Path, value: str) -> None:
    """Write one setting; each is one system call that the kernel takes or refuses."""
    file.write_text(value, encoding="ascii")


def swap_is_accounted(cgroups: Cgroups) -> bool:
    """Say whether swap can be limited; our parent group is asked, because a root group lacks the file."""
    parent = cgroups.parents.get("memory")
    file = "memory.swap.max" if cgroups.version == 2 else "memory.memsw.limit_in_bytes"
    return parent is not None and (parent / file).exists()


def _mounts(mountinfo: Path) -> tuple[dict[str, Path], Path | None]:
    """Mount points of version 1 controllers, and of the unified hierarchy."""
    v1: dict[str, Path] = {}
    v2 = None
    with contextlib.suppress(OSError):
        for line in mountinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            left, _, right = line.partition(" - ")
            point = Path(left.split()[4])
            kind, _, options = [*right.split(" ", 2), "", ""][:3]
            if kind == "cgroup2":
                v2 = point
            elif kind == "cgroup":
                v1 |= {name: point for name in options.split(",") if name in V1_CONTROLLERS}
    return v1, v2


def _own_groups(path: Path) -> dict[str, str]:
    """Our own group by controller; the unified hierarchy has the empty name."""
    groups: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            groups |= dict.fromkeys(controllers.split(","), group)
    return groups


def _candidates(mount: Path, own: str, is_root: bool) -> list[Path]:
    if is_root:
        return [mount / PARENT]
    here = mount / own.lstrip("/")
    return [here.parent / PARENT, here / PARENT] if here != mount else [mount / PARENT]


def _first_usable(candidates: list[Path]) -> Path | None:
    for candidate in candidates:
        with contextlib.suppress(OSError):
            candidate.mkdir(mode=0o755, exist_ok=True)
            if os.access(candidate, os.W_OK):
                return candidate
    return None


def _enable_v2(parent: Path) -> list[str]:
    """Hand controllers down to our parent's children; a group that holds processes itself refuses that."""
    if _first_usable([parent]) is None:
        return []
    for directory in (parent.parent, parent):
        for controller in V2_CONTROLLERS:
            with contextlib.suppress(OSError):
                write(directory / "cgroup.subtree_control", f"+{controller}")
    with contextlib.suppress(OSError):
        enabled = (parent / "cgroup.subtree_control").read_text(encoding="ascii").split()
        return [controller for controller in V2_CONTROLLERS if controller in enabled]
    return []
