"""What workloads use: from their cgroups, else from one look at all processes; disk is counted once a minute."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections import defaultdict
from datetime import UTC, datetime

from ..base import KeptData, Usage
from ..control_groups import GroupUsage
from ..trees import last_change, measure
from . import cgroups
from .home import Home, Record, epoch_of
from .shim.processes import stat_fields

COUNT_EVERY_SECONDS = 60.0
COUNT_KEPT_EVERY_SECONDS = 3600.0
COUNT_SECONDS = 1.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessTable:
    """All processes of this machine, read once and only when somebody asks."""

    @functools.cached_property
    def children(self) -> dict[int, list[tuple[int, list[bytes]]]]:
        """The children of each process, with their stat fields."""
        found = defaultdict(list)
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError, IndexError):
                    fields = stat_fields(int(entry))
                    found[int(fields[1])].append((int(entry), fields))
        return found

    def sum_of(self, status: Record) -> GroupUsage:
        """Add up a workload's processes: all below its shim, or below its program when the shim is gone.

        Ended children count through whoever reaped them, the shim included.
        """
        ticks = threads = memory = 0
        waiting = list(self.children.get(status["shim_pid"], ()))
        with contextlib.suppress(OSError, IndexError):
            if waiting:
                ticks = sum(map(int, stat_fields(status["shim_pid"])[13:15]))
            else:
                waiting = [(status["pid"], stat_fields(status["pid"]))]
        while waiting:
            pid, fields = waiting.pop()
            ticks += sum(map(int, fields[11:15]))
            threads += int(fields[17])
            memory += _own_memory(pid)
            waiting += self.children.get(pid, ())
        return GroupUsage(ticks / TICKS_PER_SECOND, memory, threads, None, None)


def usage_of(
    home: Home, spec: Record, status: Record, group: cgroups.Group, table: ProcessTable, *, may_count: bool
) -> Usage:
    """Usage of one running workload; the network is shared with the host, so nobody can tell its part.

    Without `may_count` an old count of its data will do.
    """
    used = group.usage()
    if used.cpu_seconds is None or used.memory_bytes is None or used.pids is None:
        used = _fill(used, table.sum_of(status))
    disk = disk_record(home, max_age_seconds=COUNT_EVERY_SECONDS) if may_count else home.read("disk.json")
    return Usage(
        epoch=epoch_of(status),
        at=datetime.now(UTC),
        cpu_seconds_total=used.cpu_seconds,
        memory_bytes=used.memory_bytes,
        memory_limit_bytes=spec["memory_mb"] * 1024**2,
        disk_bytes=disk["bytes"] if disk else None,
        pids=used.pids,
        block_read_bytes_total=used.read_bytes,
        block_write_bytes_total=used.write_bytes,
    )


def disk_record(home: Home, *, max_age_seconds: float, seconds: float = COUNT_SECONDS) -> Record:
    """How much a workload's data takes, counted anew when the last count is older than that."""
    record = home.read("disk.json")
    if record and time.time() - max_age_seconds < record["at"] <= time.time():
        return record
    size = measure(home.data, seconds=seconds)
    record = {"bytes": size.bytes, "is_complete": size.is_complete, "at": time.time()}
    with contextlib.suppress(OSError):  # a full disk must not hide that it is full
        home.write("disk.json", record, sync=False)
    return record


def kept_data(home: Home, *, may_count: bool) -> KeptData:
    """Data without a workload; they change no more, so a count holds for long."""
    disk = disk_record(home, max_age_seconds=COUNT_KEPT_EVERY_SECONDS) if may_count else home.read("disk.json")
    return KeptData(home.name, changed_at=last_change(home.data), size_bytes=disk["bytes"] if disk else None)


def _fill(used: GroupUsage, below: GroupUsage) -> GroupUsage:
    """Take from the processes what the groups do not tell."""
    return GroupUsage(
        below.cpu_seconds if used.cpu_seconds is None else used.cpu_seconds,
        below.memory_bytes if used.memory_bytes is None else used.memory_bytes,
        below.pids if used.pids is None else used.pids,
        used.read_bytes,
        used.write_bytes,
    )


def _own_memory(pid: int) -> int:
    """Resident memory without what is shared with files and other processes."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        _, resident, shared, *_ = map(int, statm.read().split())
        return (resident - shared) * PAGE_BYTES
    return 0
