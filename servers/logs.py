"""Read the newest part of a server's output from its engine, which masks secrets."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hub.engines.base import Engine, EngineError

logger = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024
MAX_LINES = 1000


def end_of(engine: Engine, name: str) -> str:
    """The cursor behind all output so far."""
    return engine.logs(name, tail=1).cursor


def newest(engine: Engine, name: str) -> str | None:
    """The newest 64 KiB, whole lines; None when the engine does not answer, which costs only the log."""
    try:
        return clip(engine.logs(name, tail=MAX_LINES).lines)
    except EngineError as error:
        logger.warning("log of %s: %s", name, error)
        return None


def clip(lines: Sequence[str]) -> str:
    """The last lines that fit, as text that PostgreSQL takes."""
    data = "".join(f"{line}\n" for line in lines).replace("\0", "").encode(errors="replace")
    if len(data) > MAX_BYTES:
        data = data[-MAX_BYTES:]
        data = data[data.find(b"\n") + 1 :]
    return data.decode(errors="replace")
