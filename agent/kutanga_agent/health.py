"""How the machine is: processor, memory and disk from what Linux tells, and what follows for its health."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ERROR_PERCENT = {"cpu": 95.0, "memory": 95.0, "disk": 98.0}
DEGRADED_PERCENT = {"cpu": 85.0, "memory": 85.0, "disk": 90.0}
LASTING_SECONDS = 60.0
Times = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """One look, in percent of what there is, and the memory in use."""

    cpu: float
    memory: float
    disk: float
    memory_mb: int
    load: float = 0.0
    lasting_cpu: float | None = None  # over a minute or more, which is what health goes by

    @property
    def status(self) -> str:
        """`error`, `degraded` or `healthy`: the worst of the three decides."""
        for status, bounds in (("error", ERROR_PERCENT), ("degraded", DEGRADED_PERCENT)):
            cpu = self.cpu if self.lasting_cpu is None else self.lasting_cpu
            if cpu >= bounds["cpu"] or self.memory >= bounds["memory"] or self.disk >= bounds["disk"]:
                return status
        return "healthy"


class Meter:
    """Remembers the processor's times from one look to the next, and those of the last minute.

    A processor that is busy for a moment is not ill: it counts for health once it was watched for a minute.
    """

    def __init__(self, disk: Path = Path("/"), proc: Path = Path("/proc")) -> None:
        self.disk, self.proc = disk, proc
        self._before = self._times()
        self._kept: deque[tuple[float, Times]] = deque([(time.monotonic(), self._before)])

    def forget(self) -> None:
        """Watch the processor from now on: what kept it busy until here is over, such as an installation."""
        self._kept.clear()
        self._kept.append((time.monotonic(), self._times()))

    def read(self) -> Reading:
        total_kb, free_kb = self._memory()
        usage = shutil.disk_usage(self.disk)
        used_kb = total_kb - free_kb
        before, self._before = self._before, self._times()
        return Reading(
            cpu=_busy(before, self._before),
            memory=100 * used_kb / total_kb if total_kb else 0.0,
            disk=100 * usage.used / usage.total if usage.total else 0.0,
            memory_mb=used_kb // 1024,
            load=os.getloadavg()[0],
            lasting_cpu=self._lasting(),
        )

    def _lasting(self) -> float:
        """Over the shortest time of a minute or more; 0 before there was so much."""
        now = time.monotonic()
        self._kept.append((now, self._before))
        while len(self._kept) > 1 and now - self._kept[1][0] >= LASTING_SECONDS:
            self._kept.popleft()
        at, times = self._kept[0]
        return _busy(times, self._before) if now - at >= LASTING_SECONDS else 0.0

    def _times(self) -> Times:
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


def _busy(before: Times, now: Times) -> float:
    """How much of the time between two looks the processor was busy, in percent."""
    total, idle = now[0] - before[0], now[1] - before[1]
    return round(100 * (1 - idle / total), 1) if total > 0 else 0.0


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
