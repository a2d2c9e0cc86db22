"""Fetch a file, going on where it was cut off; it is used only when its digest is the promised one."""

from __future__ import annotations

import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import VERSION
from .errors import NO_ROOM, WorkError, of_disk
from .hub import Hub, _tls
from .sealed import digest

logger = logging.getLogger(__name__)
BLOCK = 1 << 16
TRIES = 10
TIMEOUT_SECONDS = 60
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
TELL_SECONDS = 15.0


def fetch(hub: Hub, file: dict[str, Any], path: Path, tell: Callable[[int], None] = lambda percent: None) -> Path:
    """The whole file at `path`. Raises `WorkError`. Every few seconds `tell` is told how many per cent are there."""
    pause = FIRST_PAUSE
    have = path.stat().st_size if path.exists() else 0
    if file["size_bytes"] - have > shutil.disk_usage(path.parent).free:
        raise WorkError("space", f"There is no room on the device for {file['size_bytes'] - have} bytes.")
    for attempt in range(TRIES):
        try:
            _go_on(hub, file, path, tell)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                path.unlink(missing_ok=True)  # what others need is given back
                raise of_disk(error) from None
            logger.warning("the download was cut off (%s); again in %.0f s", error, pause)
            time.sleep(pause if attempt < TRIES - 1 else 0)
            pause = min(2 * pause, LONGEST_PAUSE)
            continue
        if path.stat().st_size == file["size_bytes"]:
            break
    else:
        raise WorkError("download", "The file could not be fetched.")
    if digest(path) != file["sha256"]:
        path.unlink()
        raise WorkError("corrupted", "The file that came is not the one that was promised.")
    return path


def _go_on(hub: Hub, file: dict[str, Any], path: Path, tell: Callable[[int], None]) -> None:
    """Ask for what is missing, and write no more than was announced."""
    have = path.stat().st_size if path.exists() else 0
    if have > file["size_bytes"]:
        path.unlink()
        have = 0
    if have == file["size_bytes"]:
        return
    headers = {"Authorization": hub.authorization(), "User-Agent": f"kutanga-agent/{VERSION}"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": f'"{file["sha256"]}"'}
    request = urllib.request.Request(f"{hub.state.memory.hub}{file['url']}", headers=headers)  # noqa: S310 - the hub's
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=_tls()) as answer:  # noqa: S310
            start = have if answer.status == 206 else 0
            _write(answer, path, start, file["size_bytes"], tell)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404, 409, 410):
            raise WorkError("download", f"The hub does not give the file: {error.code}.") from None
        raise


def _write(answer: Any, path: Path, start: int, most: int, tell: Callable[[int], None]) -> None:
    told_at = time.monotonic()
    with path.open("r+b" if start else "wb") as out:
        out.seek(start)
        left = most - start
        while left > 0 and (block := answer.read(min(BLOCK, left))):
            out.write(block)
            left -= len(block)
            if time.monotonic() - told_at >= TELL_SECONDS:
                tell(100 * (most - left) // most)
                told_at = time.monotonic()
