"""What /proc says of processes."""

from __future__ import annotations

import contextlib
import os


def stat_fields(pid: int) -> list[bytes]:
    """What `/proc/<pid>/stat` holds from the state on; the name before it may hold anything."""
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split()
    finally:
        os.close(fd)


def start_ticks(pid: int) -> int | None:
    """When a living process was started, in the kernel's ticks since boot; None for a zombie or nobody."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return None
    return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def is_executing(pid: int, start: int) -> bool:
    """Say whether a process lives and is not ending.

    The kernel takes the memory of an ending process before it closes its files and long before it calls it a zombie: so
    whoever was woken by the end of a pipe, or by a lock that became free, may still find the process that held it.
    """
    try:
        fields = stat_fields(pid)
    except OSError:
        return False
    return bool(fields) and int(fields[19]) == start and fields[20] != b"0"


def descendants(root: int) -> list[int]:
    """The living processes below one, found over zombies too."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        for pid in children(waiting.pop()):
            waiting.append(pid)
            if start_ticks(pid) is not None:
                found.append(pid)
    return found


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as line:
                found += map(int, line.read().split())
    return found
