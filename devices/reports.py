"""What a heartbeat may say, held against its bounds without the detour of a serializer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from hub.exceptions import HubError, Invalid

LONGEST_BODY: Final = 16 * 1024
MOST_MEMORY_MB: Final = 1_000_000
MOST_LOAD: Final = 100_000
MOST_VERSION: Final = 2**31 - 1


class TooLong(HubError):
    """A heartbeat is small."""

    code = "too_large"
    status = 413


@dataclass(frozen=True, slots=True)
class Report:
    """What a device says of itself; None where it says nothing."""

    agent_version: str | None = None
    health: str | None = None
    memory_mb: int | None = None
    cpu_percent: float | None = None
    disk_percent: float | None = None
    load: float | None = None
    bundle_version: str | None = None
    config_version: int | None = None


def read(body: bytes) -> Report:
    """Parse a heartbeat. Raises `Invalid` with the field at fault. What is not known is left out, as agents grow."""
    if len(body) > LONGEST_BODY:
        raise TooLong(f"A heartbeat has at most {LONGEST_BODY} bytes.")
    try:
        data = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Invalid("The heartbeat is not JSON.") from None
    if not isinstance(data, dict):
        raise Invalid("A heartbeat is an object.")
    return Report(
        agent_version=_text(data, "agent_version", 50),
        health=_text(data, "status", 50),
        memory_mb=_whole(data, "memory_mb", MOST_MEMORY_MB),
        cpu_percent=_number(data, "cpu_pct", 100),
        disk_percent=_number(data, "disk_pct", 100),
        load=_number(data, "load", MOST_LOAD),
        bundle_version=_text(data, "bundle_version", 100),
        config_version=_whole(data, "config_version", MOST_VERSION),
    )


def _text(data: dict[str, Any], name: str, most: int) -> str | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most or not (value.isprintable() or not value):
        raise Invalid(f"{name} is a text of at most {most} characters in one line.", field=name)
    return value


def _whole(data: dict[str, Any], name: str, most: int) -> int | None:
    value = _number(data, name, most)
    return None if value is None else round(value)


def _number(data: dict[str, Any], name: str, most: float) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    # No NaN is between two numbers; and a whole number may be too large for a float, so nothing is converted.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Invalid(f"{name} is a number from 0 to {most}.", field=name)
    return value
