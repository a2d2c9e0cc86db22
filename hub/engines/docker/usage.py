"""What containers use, read from the kernel's own files in one pass: Docker's statistics take a second for each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..base import Usage
from ..process.cgroups import Group

CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio", "io")
LAYOUTS = ("docker/{id}", "system.slice/docker-{id}.scope")
UNLIMITED = 1 << 60
PROC = Path("/proc")


@dataclass
class Meters:
    """The control groups of one machine, where Docker puts its containers."""

    root: Path = Path("/sys/fs/cgroup")
    other_places: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return 2 if (self.root / "cgroup.controllers").exists() else 1

    def group(self, container_id: str) -> Group | None:
        """A container's group, or None where Docker was told to put it elsewhere and nobody said where."""
        places = [layout.format(id=container_id) for layout in LAYOUTS]
        places += filter(None, [self.other_places.get(container_id)])
        for place in places:
            if self.version == 2:
                path = self.root / place
                if path.is_dir():
                    return Group(2, dict.fromkeys(CONTROLLERS, path))
            elif (self.root / "memory" / place).is_dir():
                return Group(1, {name: self.root / name / place for name in CONTROLLERS})
        return None

    def learn_place(self, container_id: str, pid: int) -> None:
        """Find a container's group by one of its processes."""
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "cgroup").read_text(encoding="ascii").splitlines():
                _, controllers, place = line.split(":", 2)
                if controllers == "" or "memory" in controllers.split(","):
                    self.other_places[container_id] = place.lstrip("/")

    def read(self, container_id: str, *, epoch: str, disk_bytes: int | None) -> Usage | None:
        """One container's usage now; None when it has just gone."""
        group = self.group(container_id)
        if group is None:
            return None
        used = group.usage()
        if used.memory_bytes is None:
            return None
        received, sent = network_bytes(_any_pid(group.paths["memory"]))
        return Usage(
            epoch=epoch,
            at=datetime.now(UTC),
            cpu_seconds_total=used.cpu_seconds,
            memory_bytes=used.memory_bytes,
            memory_limit_bytes=_memory_limit(group),
            disk_bytes=disk_bytes,
            pids=used.pids,
            net_in_bytes_total=received,
            net_out_bytes_total=sent,
            block_read_bytes_total=used.read_bytes,
            block_write_bytes_total=used.write_bytes,
        )


def network_bytes(pid: int | None) -> tuple[int | None, int | None]:
    """Bytes in and out of the network that a process sees, loopback apart."""
    if pid is None:
        return None, None
    try:
        lines = (PROC / str(pid) / "net" / "dev").read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return None, None
    received = sent = 0
    for line in lines:
        name, _, counters = line.partition(":")
        if name.strip() != "lo":
            fields = counters.split()
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def _any_pid(path: Path) -> int | None:
    """A process of the group, as the agent's own pid namespace numbers it."""
    try:
        first = (path / "cgroup.procs").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return None
    return int(first) or None if first else None


def _memory_limit(group: Group) -> int | None:
    name = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
    try:
        text = (group.paths["memory"] / name).read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < UNLIMITED else None
