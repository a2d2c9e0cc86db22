"""Which charts a kind of subject has: titles and the metrics in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .metrics import BY_NAME

COMPARED: Final = 8  # subjects in the same frames


@dataclass(frozen=True)
class Chart:
    """One frame: its series share a unit."""

    key: str
    title: str
    metrics: Sequence[str]
    is_main: bool = True

    @property
    def unit(self) -> str:
        return BY_NAME[self.metrics[0]].unit

    @property
    def names(self) -> str:
        return ",".join(self.metrics)

    @property
    def labels(self) -> str:
        return ",".join(BY_NAME[name].label for name in self.metrics)


NETWORK: Final = Chart("network", "Network", ("net_in", "net_out"))
BLOCKS: Final = Chart("blocks", "Disk traffic", ("block_read", "block_write"), is_main=False)
PIDS: Final = Chart("pids", "Processes", ("pids",), is_main=False)
MEMORY: Final = Chart("memory", "Memory", ("memory_bytes",))
DISK: Final = Chart("disk", "Disk", ("disk_bytes",))
WORKLOAD: Final = (
    Chart("cpu", "Processor, 100 % is a core", ("cpu_percent",)),
    MEMORY,
    DISK,
    NETWORK,
    Chart("players", "Players", ("players",)),
    BLOCKS,
    PIDS,
)
NODE: Final = (
    Chart("cpu", "Processor, of all cores", ("cpu_share",)),
    MEMORY,
    DISK,
    NETWORK,
    Chart("load", "Load of the last minute", ("load",), is_main=False),
    Chart("swap", "Swap", ("swap_bytes",), is_main=False),
    BLOCKS,
    PIDS,
)
DEVICE: Final = (
    Chart("cpu", "Processor, of all cores", ("cpu_share",)),
    MEMORY,
    Chart("disk", "Disk in use", ("disk_share",)),
    Chart("load", "Load of the last minute", ("load",)),
)
_KINDS: Final = {"node": NODE, "device": DEVICE}


def of_kind(kind: str) -> Sequence[Chart]:
    """The charts of a kind of subject."""
    return _KINDS.get(kind, WORKLOAD)
