"""How the machine is: processor, memory and disk from what Linux tells, and what follows for its health."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ERROR_PERCENT = {"cpu": 95.0, "memory": 95.0, "disk": 98.0}
DEGRADED_PERCENT = {"cpu": 85.0, "memory": 85.0, "disk": 90.0}


@dataclass(frozen=True)
class Reading:
    """One look, in percent of what there is, and the memory in use."""

    cpu: float
    memory: float
    disk: float
    memory_mb: int
    load: float = 0.0

    @property
    def status(self) -> str:
        """`error`, `degraded` or `healthy`: the worst of the three decides."""
        for status, bounds in (("error", ERROR_PERCENT), ("degraded", DEGRADED_PERCENT)):
            if any(getattr(self, name) >= bound for name, bound in bounds.items()):
                return status
        return "healthy"


class Meter:
    """Remembers the processor's times from one look to the next."""

    def __init__(self, disk: Path = Path("/"), proc: Path = Path("/proc")) -> None:
        self.disk, self.proc = disk, proc
        self._before = self._times()

    def read(self) -> Reading:
        total_kb, free_kb = self._memory()
        usage = shutil.disk_usage(self.disk)
        used_kb = total_kb - free_kb
        return Reading(
            cpu=self._cpu(),
            memory=100 * used_kb / total_kb if total_kb else 0.0,
            disk=100 * usage.used / usage.total if usage.total else 0.0,
            memory_mb=used_kb // 1024,
            load=os.getloadavg()[0],
        )

    def _cpu(self) -> float:
        before, self._before = self._before, self._times()
        total, idle = (now - then for now, then in zip(self._before, before, strict=True))
        return round(100 * (1 - idle / total), 1) if total > 0 else 0.0

    def _times(self) -> tuple[int, int]:
        """All time and idle time since the machine started."""
        try:
            words = (self.proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            return 0, 0
        numbers = [int(word) for word in words]
        return sum(numbers), sum(numbers[3:5])

    def _memory(self) -> tuple[int, int]:
        try:
            lines = dict(line.split(":", 1) for line in (self.proc / "meminfo").read_text().splitlines())
            return tuple(int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]
        except (OSError, KeyError, ValueError):
            return 0, 0


def hardware() -> dict[str, Any]:
    """What the hub is told of the machine at enrolment."""
    total_kb, _ = Meter()._memory()
    return {
        "hostname": platform.node(),
        "platform": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python_version": platform.python_version(),
        "cpu_count": os.cpu_count(),
        "total_memory_mb": total_kb // 1024,
    }
