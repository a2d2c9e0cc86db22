"""What a device is told with the answer to its heartbeat.

Each kind of work is a source. Its `exists` is a condition in SQL that the heartbeat's own UPDATE answers, so an idle
heartbeat stays one statement; only when it is true are the commands fetched. Sources are asked in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .reports import Report

Command = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """`exists` is our own SQL and may speak of `beat`, the row as it is after the heartbeat."""

    name: str
    exists: str
    fetch: Callable[[UUID, Report], list[Command]]


_sources: dict[str, Source] = {}


def register(source: Source) -> None:
    """Add a kind of work, or put another in its place; called in `AppConfig.ready`."""
    _sources[source.name] = source


def conditions() -> str:
    """What the heartbeat returns besides: one truth for each source."""
    return "".join(f", ({source.exists})" for source in _sources.values())


def fetch(device_id: UUID, report: Report, found: tuple[bool, ...]) -> list[Command]:
    """The commands of those sources that have any."""
    commands: list[Command] = []
    for source, has_some in zip(_sources.values(), found, strict=True):
        if has_some:
            commands += source.fetch(device_id, report)
    return commands
