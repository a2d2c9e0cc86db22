"""Where backups lie: one directory with dumps, base backups, WAL and files; and what all of them do there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from hub.exceptions import Conflict, Unavailable

STAMP = "%Y%m%dT%H%M%S.%fZ"
SPARE_BYTES = 200 * 1024**2


def folder(*names: str) -> Path:
    """Return the backup directory or one below it, made when it is missing and closed to others."""
    path = Path(settings.HUB_BACKUPS or settings.HUB_DATA / "backups").joinpath(*names)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def stamp(at: datetime | None = None) -> str:
    return (at or datetime.now(UTC)).strftime(STAMP)


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold the backup directory: two base backups, or one and the clearing of old ones, would trip over each other."""
    with (folder() / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"Another backup is at work in {folder()}, so {what} has to wait.") from None
        yield


def check_space(path: Path, needed_bytes: int, what: str) -> None:
    """Refuse work that would fill the disk, before it has begun."""
    free = shutil.disk_usage(path).free
    if free < needed_bytes + SPARE_BYTES:
        raise Unavailable(
            f"{what} needs {mib(needed_bytes + SPARE_BYTES)} MiB in {path} and {mib(free)} MiB are free: make room."
        )


def mib(count: int) -> int:
    return -(-count // 1024**2)


def tree_bytes(path: Path) -> int:
    """Count the bytes of all files below a directory."""
    return sum(each.lstat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Bring a file or a directory that another program wrote to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
