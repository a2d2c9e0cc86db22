"""What containers use, read from the kernel's own files in one pass: Docker's statistics take a second for each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ..base import Usage
from ..control_groups import any_pid, memory_limit, read_file, read_usage

CONTROLLERS_V1 = ("memory", "cpuacct", "pids", "blkio")
CONTROLLERS_V2 = ("memory", "cpu", "pids", "io")
# Where the two drivers of Docker put a container: `cgroupfs` and `systemd`.
LAYOUTS = ("docker/{id}", "system.slice/docker-{id}.scope")
PROC = Path("/proc")


@dataclass
class Meters:
    """The control groups of one machine, where Docker puts its containers."""

    root: Path = Path("/sys/fs/cgroup")
    places: dict[str, str] = field(default_factory=dict)
    """Where the groups of containers were found, below the root of each hierarchy."""

    @property
    def version(self) -> int:
        """A machine with both has version 1 at the root, and an empty version 2 beside its controllers."""
        return 2 if (self.root / "cgroup.controllers").exists() else 1

    def knows(self, container_id: str) -> bool:
        """Whether a container's group was found, where Docker puts them by itself or where a process of it said."""
        if container_id not in self.places:
            memory = self.root if self.version == 2 else self.root / "memory"
            for layout in LAYOUTS:
                if (memory / (place := layout.format(id=container_id))).is_dir():
                    self.places[container_id] = place
        return container_id in self.places

    def learn_place(self, container_id: str, pid: int) -> None:
        """Find a container's group by one of its processes: Docker was told to put it elsewhere."""
        for line in (read_file(f"{PROC}/{pid}/cgroup") or b"").decode(errors="replace").splitlines():
            _, controllers, place = line.split(":", 2)
            # Seen from a control group namespace of one's own, others' places lie above the root.
            if ".." not in place and (controllers == "" if self.version == 2 else "memory" in controllers.split(",")):
                self.places[container_id] = place.lstrip("/")

    def forget_others(self, container_ids: Collection[str]) -> None:
        """Keep the places of these only."""
        self.places = {key: place for key, place in self.places.items() if key in container_ids}

    def read(self, container_id: str, *, epoch: str, disk_bytes: int | None) -> Usage | None:
        """One container's usage now; None when it has just gone, or nobody knows where its group is."""
        if not self.knows(container_id):
            return None
        version, paths = self._paths(self.places[container_id])
        used = read_usage(version, paths)
        if used.memory_bytes is None:
            return None
        received, sent = network_bytes(any_pid(paths["memory"]))
        return Usage(
            epoch=epoch,
            at=datetime.now(UTC),
            cpu_seconds_total=used.cpu_seconds,
            memory_bytes=used.memory_bytes,
            memory_limit_bytes=memory_limit(version, paths["memory"]),
            disk_bytes=disk_bytes,
            pids=used.pids,
            net_in_bytes_total=received,
            net_out_bytes_total=sent,
            block_read_bytes_total=used.read_bytes,
            block_write_bytes_total=used.write_bytes,
        )

    def _paths(self, place: str) -> tuple[int, dict[str, str]]:
        if (version := self.version) == 2:
            return version, dict.fromkeys(CONTROLLERS_V2, f"{self.root}/{place}")
        return version, {name: f"{self.root}/{name}/{place}" for name in CONTROLLERS_V1}


def network_bytes(pid: int | None) -> tuple[int | None, int | None]:
    """Bytes in and out of the network that a process sees, loopback apart."""
    text = None if pid is None else read_file(f"{PROC}/{pid}/net/dev")
    if text is None:
        return None, None
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, counters = line.partition(b":")
        if name.strip() != b"lo":
            fields = counters.split()
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent
