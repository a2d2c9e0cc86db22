"""What the kernel's control groups tell about a workload, version 1 and 2. Who makes them is each engine's own affair.

An agent reads some files of every workload in each round, so this is plain: no path objects, no decoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CHUNK_BYTES = 16 * 1024
UNLIMITED = 1 << 60  # version 1 tells the largest number of pages for "no limit"


@dataclass(frozen=True)
class GroupUsage:
    """What a group's files say; None for what they do not tell."""

    cpu_seconds: float | None
    memory_bytes: int | None
    pids: int | None
    read_bytes: int | None
    write_bytes: int | None


def read_usage(version: int, paths: Mapping[str, str | os.PathLike[str]]) -> GroupUsage:
    """Read the counters of a group by its directory in each hierarchy; memory without the cache that can be dropped."""
    return _usage_v2(paths) if version == 2 else _usage_v1(paths)


def memory_limit(version: int, directory: str | os.PathLike[str]) -> int | None:
    """How much memory a group may take; None without a limit."""
    limit = _number(directory, "memory.max" if version == 2 else "memory.limit_in_bytes")
    return limit if limit is not None and limit < UNLIMITED else None


def any_pid(directory: str | os.PathLike[str]) -> int | None:
    """A process of the group, as the reader's own pid namespace numbers it."""
    first = (read_file(f"{directory}/cgroup.procs") or b"").partition(b"\n")[0]
    return int(first) or None if first.isdigit() else None


def read_file(path: str) -> bytes | None:
    """A whole file of the kernel's; None when it is not there, or what it tells of has just gone."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        text = b""
        while part := os.read(fd, CHUNK_BYTES):
            text += part
    except OSError:
        return None
    finally:
        os.close(fd)
    return text


def _usage_v1(paths: Mapping[str, str | os.PathLike[str]]) -> GroupUsage:
    cpu = _number(paths.get("cpuacct"), "cpuacct.usage")
    used = _number(paths.get("memory"), "memory.usage_in_bytes")
    cache = _value(paths.get("memory"), "memory.stat", b"total_inactive_file") or 0
    reads, writes = _block_bytes_v1(paths.get("blkio"))
    return GroupUsage(
        cpu_seconds=None if cpu is None else cpu / 1e9,
        memory_bytes=None if used is None else max(0, used - cache),
        pids=_number(paths.get("pids"), "pids.current"),
        read_bytes=reads,
        write_bytes=writes,
    )


def _usage_v2(paths: Mapping[str, str | os.PathLike[str]]) -> GroupUsage:
    cpu = _value(paths.get("cpu"), "cpu.stat", b"usage_usec")
    used = _number(paths.get("memory"), "memory.current")
    cache = _value(paths.get("memory"), "memory.stat", b"inactive_file") or 0
    reads, writes = _block_bytes_v2(paths.get("io"))
    return GroupUsage(
        cpu_seconds=None if cpu is None else cpu / 1e6,
        memory_bytes=None if used is None else max(0, used - cache),
        pids=_number(paths.get("pids"), "pids.current"),
        read_bytes=reads,
        write_bytes=writes,
    )


def _block_bytes_v1(directory: str | os.PathLike[str] | None) -> tuple[int | None, int | None]:
    """Sum `8:0 Read 4096` lines over all devices; the case of the words differs between kernels."""
    if (text := _text(directory, "blkio.throttle.io_service_bytes")) is None:
        return None, None
    words = [line.split() for line in text.lower().splitlines()]
    return _sum_second(words, b"read"), _sum_second(words, b"write")


def _block_bytes_v2(directory: str | os.PathLike[str] | None) -> tuple[int | None, int | None]:
    """Sum the `rbytes=` and `wbytes=` of `8:0 rbytes=4096 wbytes=0 ...` lines; one without any is a device's name."""
    if (text := _text(directory, "io.stat")) is None:
        return None, None
    words = [[b"", *pair.split(b"=")] for line in text.splitlines() for pair in line.split()[1:]]
    return _sum_second(words, b"rbytes"), _sum_second(words, b"wbytes")


def _sum_second(words: Iterable[list[bytes]], name: bytes) -> int:
    """Add the third words of the lines whose second is `name`."""
    return sum(int(line[2]) for line in words if len(line) == 3 and line[1] == name)


def _number(directory: str | os.PathLike[str] | None, file: str) -> int | None:
    text = _text(directory, file)
    return int(text) if text and text.strip().isdigit() else None


def _value(directory: str | os.PathLike[str] | None, file: str, name: bytes) -> int | None:
    """One line of a file of names and numbers; the whole is not taken apart, as `memory.stat` has some forty."""
    _, found, rest = (b"\n" + (_text(directory, file) or b"")).partition(b"\n" + name + b" ")
    value = rest.partition(b"\n")[0]
    return int(value) if found and value.isdigit() else None


def _text(directory: str | os.PathLike[str] | None, file: str) -> bytes | None:
    return None if directory is None else read_file(f"{directory}/{file}")
