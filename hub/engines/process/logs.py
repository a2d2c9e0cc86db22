"""Read a workload's log by cursor.

The shim writes whole lines to `log.<n>` and begins a new, larger n when a segment is full (see `shim/log.py`). A cursor
is `<n>:<offset>`; numbers are never used twice, so an old cursor can be told from a new file.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..base import LogChunk

CHUNK_BYTES = 64 * 1024


def read_log(directory: Path, *, tail: int, cursor: str) -> LogChunk:
    """The last lines, or those after the cursor, at most 64 KiB."""
    segments = _segments(directory)
    if not segments:
        return LogChunk((), "")
    if position := _parse(cursor):
        return _read_after(directory, segments, *position)
    return _read_tail(directory, segments, tail)


def _read_after(directory: Path, segments: list[int], number: int, offset: int) -> LogChunk:
    """The next lines, from the first later segment that has any."""
    truncated = number not in segments or offset > _size(directory, number)
    if truncated:
        number, offset = segments[0], 0
    for segment in segments[segments.index(number) :]:
        if segment != number:
            number, offset = segment, 0
        if data := _read(directory, number, offset):
            return LogChunk(_lines(data), f"{number}:{offset + len(data)}", truncated)
    return LogChunk((), f"{number}:{offset}", truncated)


def _read_tail(directory: Path, segments: list[int], tail: int) -> LogChunk:
    """The end of the newest segment, and of those before while lines are missing and the chunk has room."""
    data, cursor, is_cut = b"", "", False
    for number in reversed(segments):
        block, end, is_cut = _read_end(directory, number, CHUNK_BYTES - len(data))
        data = block + data
        cursor = cursor or f"{number}:{end}"
        if is_cut or data.count(b"\n") >= tail:
            break
    lines = _lines(data)
    return LogChunk(lines[-tail:] if tail > 0 else (), cursor, truncated=is_cut and len(lines) < tail)


def _read(directory: Path, number: int, offset: int) -> bytes:
    """Whole lines from an offset on; a single line that fills the chunk is taken as it is."""
    data = _pread(directory, number, CHUNK_BYTES, offset)
    cut = data.rfind(b"\n") + 1
    return data[:cut] if cut or len(data) < CHUNK_BYTES else data


def _read_end(directory: Path, number: int, room: int) -> tuple[bytes, int, bool]:
    """The last whole lines that fit, the offset behind them, and whether there are more before."""
    size = _size(directory, number)
    start = max(0, size - room)
    data = _pread(directory, number, size - start, start)
    end = data.rfind(b"\n") + 1
    begin = data.find(b"\n") + 1 if start else 0
    return data[begin:end], start + end, start > 0


def _lines(data: bytes) -> tuple[str, ...]:
    if not data:
        return ()
    return tuple(line.rstrip("\r") for line in data.decode(errors="replace").removesuffix("\n").split("\n"))


def _parse(cursor: str) -> tuple[int, int] | None:
    number, _, offset = cursor.partition(":")
    if number.isascii() and number.isdigit() and offset.isascii() and offset.isdigit() and len(cursor) < 64:
        return int(number), int(offset)
    return None


def _segments(directory: Path) -> list[int]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(int(name[4:]) for name in names if name.startswith("log.") and name[4:].isdigit())


def _size(directory: Path, number: int) -> int:
    try:
        return os.stat(directory / f"log.{number}").st_size
    except OSError:
        return 0


def _pread(directory: Path, number: int, size: int, offset: int) -> bytes:
    try:
        fd = os.open(directory / f"log.{number}", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)
