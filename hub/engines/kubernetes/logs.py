"""Read a workload's output by cursor: the time of the last line that was read, as the cluster stamps it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from ..base import LogChunk
from .gateway import Gateway
from .names import CONTAINER
from .resources import PODS

MASK = "***"
CHUNK_BYTES = 64 * 1024
MOST_BYTES = 1024 * 1024
WINDOW_LINES = 5000
CURSOR = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
Line = tuple[str, str]


def read_log(
    gateway: Gateway, namespace: str, pod: str, *, restarted: bool, tail: int, cursor: str, secrets: Sequence[str]
) -> LogChunk:
    """The last lines, or those after the cursor, at most 64 KiB. A container that was started again has lost its
    output with it; the cluster keeps that of the run before.
    """
    after = cursor if CURSOR.fullmatch(cursor) else ""
    query = {"container": CONTAINER, "timestamps": "true", "limitBytes": MOST_BYTES if not after else None}
    if after:
        query["sinceTime"] = (datetime.fromisoformat(after) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    else:
        query["tailLines"] = max(0, min(tail, WINDOW_LINES))
    text = ""
    if restarted:
        text = gateway.text(PODS, pod, namespace, "log", previous="true", **query) or ""
    text += gateway.text(PODS, pod, namespace, "log", **query) or ""
    lines = list(_masked(_parse(text), secrets))
    return _next_lines(lines, after) if after else _last_lines(lines[-tail:] if tail else [])


def _parse(text: str) -> Iterator[Line]:
    for line in text.split("\n"):
        at, _, rest = line.partition(" ")
        if CURSOR.fullmatch(at):
            yield at, rest.rstrip("\r")


def _masked(lines: Iterator[Line], secrets: Sequence[str]) -> Iterator[Line]:
    for at, text in lines:
        for secret in secrets:
            text = text.replace(secret, MASK)
        yield at, text


def _next_lines(lines: Sequence[Line], after: str) -> LogChunk:
    places = [place for place, (at, _) in enumerate(lines) if at == after]
    rest = lines[places[-1] + 1 :] if places else [line for line in lines if _sortable(line[0]) > _sortable(after)]
    taken: list[Line] = []
    room = CHUNK_BYTES
    for line in rest:
        size = len(line[1].encode()) + 1
        if taken and size > room:
            break
        room -= size
        taken.append(line)
    return LogChunk(_texts(taken), taken[-1][0] if taken else after, truncated=not places and bool(lines))


def _last_lines(lines: Sequence[Line]) -> LogChunk:
    taken, room = 0, CHUNK_BYTES
    for _, text in reversed(lines):
        size = len(text.encode()) + 1
        if size > room:
            break
        room -= size
        taken += 1
    kept = lines[len(lines) - taken :]
    return LogChunk(_texts(kept), lines[-1][0] if lines else "", truncated=taken < len(lines))


def _texts(lines: Sequence[Line]) -> tuple[str, ...]:
    return tuple(text for _, text in lines)


def _sortable(at: str) -> tuple[datetime, str]:
    """Times carry up to nine digits, of which Python reads six."""
    digits = at.partition(".")[2].rstrip("Z")
    return datetime.fromisoformat(at), digits.ljust(9, "0")
