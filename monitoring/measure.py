"""Measure a machine and its workloads: gauges as they are, counters as rates since the last look.

A rate is only told when the counter's epoch (a start identity) is the one of the last look and the counter has not
fallen: a restart or a reset makes a gap of one sample, never a spike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from hub.engines.base import Usage

from .metrics import NAMES

MIN_SECONDS = 0.2  # between two looks, for a rate to mean anything


@dataclass
class Reading:
    """What was measured of one subject at one time; what is not known is left out."""

    subject: str
    at: datetime
    values: dict[str, float] = field(default_factory=dict)
    cores: list[float] = field(default_factory=list)

    def line(self) -> str:
        """The sample in COPY's text form, the subject first."""
        columns = [_text(self.values.get(name)) for name in NAMES]
        cores = f"{{{','.join(f'{core:.1f}' for core in self.cores)}}}" if self.cores else "\\N"
        return "\t".join([self.subject, self.at.isoformat(), *columns, cores])


@dataclass(frozen=True)
class Caps:
    """What a workload may use, as the hub has promised it; 0 for no limit."""

    cpu_percent: float = 0
    memory_bytes: float = 0
    disk_bytes: float = 0
    players: float | None = None


class Rates:
    """The last look at each subject's counters."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[str, float, dict[str, float]]] = {}

    def of(self, subject: str, epoch: str, seconds: float, counters: Mapping[str, float]) -> dict[str, float]:
        """Rates per second since the last look; empty after a restart."""
        before = self.last.get(subject)
        self.last[subject] = (epoch, seconds, dict(counters))
        if before is None or before[0] != epoch or seconds - before[1] < MIN_SECONDS:
            return {}
        return {
            name: (value - before[2][name]) / (seconds - before[1])
            for name, value in counters.items()
            if name in before[2] and value >= before[2][name]
        }

    def keep_only(self, subjects: set[str]) -> None:
        """Forget those that are gone."""
        self.last = {subject: look for subject, look in self.last.items() if subject in subjects}


class HostMeter:
    """The machine itself, by psutil."""

    def __init__(self, data: Path) -> None:
        self.data, self.rates = data, Rates()
        self.times = psutil.cpu_times(percpu=True)

    def read(self, subject: str, at: datetime) -> Reading:
        memory, swap, disk = psutil.virtual_memory(), psutil.swap_memory(), psutil.disk_usage(str(self.data))
        values: dict[str, float] = {
            "memory_bytes": memory.total - memory.available,
            "memory_share": 100 * (memory.total - memory.available) / memory.total,
            "swap_bytes": swap.used,
            "disk_bytes": disk.used,
            "disk_share": disk.percent,
            "pids": len(psutil.pids()),
            "load": psutil.getloadavg()[0],
        }
        cores = self._cores()
        if cores:
            values |= {"cpu_percent": sum(cores), "cpu_share": sum(cores) / len(cores)}
        return Reading(subject, at, values | self._rates(subject), cores)

    def _cores(self) -> list[float]:
        """How busy each core was since the last look."""
        before, self.times = self.times, psutil.cpu_times(percpu=True)
        spans = [
            (_busy(new) - _busy(old), _total(new) - _total(old)) for old, new in zip(before, self.times, strict=False)
        ]
        if not all(total > 0 for _, total in spans):
            return []
        return [max(0.0, min(100.0, 100 * busy / total)) for busy, total in spans]

    def _rates(self, subject: str) -> dict[str, float]:
        network, blocks = psutil.net_io_counters(pernic=True), psutil.disk_io_counters()
        outside = [counters for name, counters in network.items() if name != "lo"]
        counters = {
            "net_in": sum(each.bytes_recv for each in outside),
            "net_out": sum(each.bytes_sent for each in outside),
        }
        if blocks is not None:
            counters |= {"block_read": blocks.read_bytes, "block_write": blocks.write_bytes}
        return self.rates.of(subject, "host", time.monotonic(), counters)


class WorkloadMeter:
    """Workloads, by what their engine counts."""

    def __init__(self) -> None:
        self.rates = Rates()

    def read(self, subject: str, at: datetime, usage: Usage, caps: Caps) -> Reading:
        values: dict[str, float] = {}
        for name, value in (
            ("memory_bytes", usage.memory_bytes),
            ("disk_bytes", usage.disk_bytes),
            ("pids", usage.pids),
            ("players", caps.players),
        ):
            if value is not None:
                values[name] = value
        counters: dict[str, Any] = {
            "cpu_percent": None if usage.cpu_seconds_total is None else usage.cpu_seconds_total * 100,
            "net_in": usage.net_in_bytes_total,
            "net_out": usage.net_out_bytes_total,
            "block_read": usage.block_read_bytes_total,
            "block_write": usage.block_write_bytes_total,
        }
        known = {name: value for name, value in counters.items() if value is not None}
        values |= self.rates.of(subject, usage.epoch, usage.at.timestamp(), known)
        limits = {
            "cpu": ("cpu_percent", caps.cpu_percent),
            "memory": ("memory_bytes", caps.memory_bytes or usage.memory_limit_bytes),
            "disk": ("disk_bytes", caps.disk_bytes),
        }
        for name, (measured, limit) in limits.items():
            if limit and measured in values:
                values[f"{name}_share"] = 100 * values[measured] / limit
        return Reading(subject, at, values)


def _busy(times: Any) -> float:
    return _total(times) - float(times.idle) - float(getattr(times, "iowait", 0))


def _total(times: Any) -> float:
    """All time; what guests took is part of what the host counts as user time."""
    return float(sum(times)) - float(getattr(times, "guest", 0)) - float(getattr(times, "guest_nice", 0))


def _text(value: float | None) -> str:
    return "\\N" if value is None else f"{value:.7g}"
