"""What is measured: the one table that the database's columns, the API and the charts are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PERCENT, BYTES, RATE, COUNT, NUMBER = "percent", "bytes", "bytes_per_second", "count", "number"


@dataclass(frozen=True)
class Metric:
    """One column of a sample. `limit` names what of a subject it is drawn against."""

    name: str
    label: str
    unit: str
    help: str = ""


METRICS: Final = (
    Metric("cpu_percent", "CPU", PERCENT, "Per cent of one core."),
    Metric("cpu_share", "CPU of its limit", PERCENT, "Per cent of what it may use."),
    Metric("memory_bytes", "Memory", BYTES, "Without the page cache."),
    Metric("memory_share", "Memory of its limit", PERCENT),
    Metric("swap_bytes", "Swap", BYTES),
    Metric("disk_bytes", "Disk", BYTES),
    Metric("disk_share", "Disk of its limit", PERCENT),
    Metric("net_in", "Network in", RATE),
    Metric("net_out", "Network out", RATE),
    Metric("block_read", "Disk read", RATE),
    Metric("block_write", "Disk written", RATE),
    Metric("pids", "Processes", COUNT),
    Metric("players", "Players", COUNT),
    Metric("load", "Load", NUMBER, "Average of the last minute."),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}
NAMES: Final = tuple(BY_NAME)
