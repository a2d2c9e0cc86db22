"""Read a container's output by cursor: the time of the last line that was read, as Docker stamps it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..base import LogChunk
from .client import Client

MASK = "***"
CHUNK_BYTES = 64 * 1024
WINDOW_LINES = 5000
CURSOR = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
HEADER = struct.Struct(">BxxxL")


@dataclass(frozen=True)
class Line:
    """One line and when it was written; times are of one length, so they compare as text."""

    at: str
    text: str

    @property
    def size(self) -> int:
        return len(self.text.encode()) + 1


def read_log(client: Client, container_id: str, *, tail: int, cursor: str, secrets: Sequence[str]) -> LogChunk:
    """The last lines, or those after the cursor, at most 64 KiB."""
    after = cursor if CURSOR.fullmatch(cursor) else ""
    data = client.get_bytes(
        f"/containers/{container_id}/logs",
        stdout=True,
        stderr=True,
        timestamps=True,
        tail=str(WINDOW_LINES if after else max(0, min(tail, WINDOW_LINES))),
        since=str(int(datetime.fromisoformat(after).timestamp()) - 1) if after else "0",
    )
    lines = [Line(line.at, _masked(line.text, secrets)) for line in parse(data or b"")]
    return _next_lines(lines, after) if after else _last_lines(lines)


def parse(data: bytes) -> Iterator[Line]:
    """Take Docker's frames apart: stream, length, time, text. A long line comes in several, each with its time."""
    open_lines: dict[int, Line] = {}
    place = 0
    while place + HEADER.size <= len(data):
        stream, length = HEADER.unpack_from(data, place)
        place += HEADER.size
        frame = data[place : place + length].decode(errors="replace")
        place += length
        at, _, text = frame.partition(" ")
        line = Line(at, open_lines.pop(stream).text + text if stream in open_lines else text)
        if text.endswith("\n"):
            yield Line(line.at, line.text.rstrip("\r\n"))
        else:
            open_lines[stream] = line
    yield from open_lines.values()


def _next_lines(lines: Sequence[Line], after: str) -> LogChunk:
    """What follows the line at the cursor; if that line is gone, the log was cut or is another one."""
    places = [place for place, line in enumerate(lines) if line.at == after]
    rest = lines[places[-1] + 1 :] if places else [line for line in lines if line.at > after]
    taken: list[Line] = []
    room = CHUNK_BYTES
    for line in rest:
        if taken and line.size > room:
            break
        room -= line.size
        taken.append(line)
    return LogChunk(_texts(taken), taken[-1].at if taken else after, truncated=not places and bool(lines))


def _last_lines(lines: Sequence[Line]) -> LogChunk:
    taken, room = 0, CHUNK_BYTES
    for line in reversed(lines):
        if line.size > room:
            break
        room -= line.size
        taken += 1
    kept = lines[len(lines) - taken :]
    return LogChunk(_texts(kept), lines[-1].at if lines else "", truncated=taken < len(lines))


def _texts(lines: Sequence[Line]) -> tuple[str, ...]:
    return tuple(line.text for line in lines)


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
