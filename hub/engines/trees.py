"""Count and delete what a program has made: any depth, any name, any mode, and no symbolic link is followed."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

BLOCK_BYTES = 512
TOP_ENTRIES = 1000


@dataclass(frozen=True)
class Size:
    """What a tree takes on disk; a lower bound unless `is_complete`."""

    bytes: int
    is_complete: bool


def measure(root: Path, *, seconds: float) -> Size:
    """Add up the blocks below a directory, hard links once, and stop when time is up."""
    deadline = time.monotonic() + seconds
    total, seen, is_complete = 0, set(), True
    waiting = [os.fspath(root)]
    while waiting:
        if time.monotonic() > deadline:
            return Size(total, False)
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if stat.S_ISDIR(facts.st_mode):
                        waiting.append(entry.path)
                    elif facts.st_nlink > 1:
                        if (facts.st_dev, facts.st_ino) in seen:
                            continue
                        seen.add((facts.st_dev, facts.st_ino))
                    total += facts.st_blocks * BLOCK_BYTES
        except FileNotFoundError:
            continue
        except OSError:  # a mode we may not pass, or a path longer than the kernel takes
            is_complete = False
    return Size(total, is_complete)


def last_change(root: Path) -> datetime | None:
    """When something at the top of a tree was last changed; a whole walk would cost as much as counting it."""
    try:
        with os.scandir(root) as entries:
            times = [entry.stat(follow_symlinks=False).st_mtime for entry in itertools.islice(entries, TOP_ENTRIES)]
        return datetime.fromtimestamp(max([root.stat().st_mtime, *times]), UTC)
    except OSError:
        return None


def delete(root: Path, *, seconds: float) -> bool:
    """Delete a tree; False when time ran out, and calling again goes on from there.

    Subdirectories are moved up beside their parent before they are emptied, so the depth that a program built costs
    neither recursion nor descriptors nor path length.
    """
    deadline = time.monotonic() + seconds
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        while names := [entry.name for entry in _entries(top)]:
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # somebody else is deleting it, too
                    _delete_one(top, name)
                if time.monotonic() > deadline:
                    return False
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(root)
    return True


def _delete_one(top: int, name: str) -> None:
    """Delete a file, or empty a directory of files, move its directories up, and delete it."""
    try:
        os.unlink(name, dir_fd=top)
    except (IsADirectoryError, PermissionError):
        _empty(top, name)
        os.rmdir(name, dir_fd=top)


def _empty(top: int, name: str) -> None:
    directory = _open(top, name)
    try:
        for entry in _entries(directory):
            if entry.is_dir(follow_symlinks=False):
                _make_passable(directory, entry.name)
                os.rename(entry.name, f"moved-{uuid.uuid4().hex}", src_dir_fd=directory, dst_dir_fd=top)
            else:
                os.unlink(entry.name, dir_fd=directory)
    finally:
        os.close(directory)


def _open(top: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    with contextlib.suppress(PermissionError):
        directory = os.open(name, flags, dir_fd=top)
        if os.access(name, os.W_OK | os.X_OK, dir_fd=top):
            return directory
        os.close(directory)
    _make_passable(top, name)
    return os.open(name, flags, dir_fd=top)


def _make_passable(directory: int, name: str) -> None:
    """Moving or emptying a directory needs rights on it that a program may have taken away from us (not from root)."""
    with contextlib.suppress(OSError):
        os.chmod(name, 0o700, dir_fd=directory)


def _entries(directory: int) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        return list(entries)
