"""The data of one workload as one file: a packed tar archive that carries the workload's labels in its head.

Whoever packs may be root and a program may write meanwhile, so no symbolic link is followed on the way: what was a
directory a moment ago is opened as one or not at all. The same data give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

from .base import EngineError, Reason
from .trees import measure

LABELS = "KUTANGA.labels"
SPARE_BYTES = 200 * 1024**2
MOST_HOLES_BYTES = 1024**3
COUNT_SECONDS = 5.0
GoingOn = Callable[[], bool]


def pack(top: Path, target: Path, *, labels: Mapping[str, str], going_on: GoingOn) -> None:
    """Write a directory to a new file that only its owner reads. What vanishes meanwhile is left out; sockets and pipes
    mean nothing elsewhere. Raises CANCELLED when `going_on` says so, DISK_FULL before the disk is."""
    if shutil.disk_usage(target.parent).free < measure(top, seconds=COUNT_SECONDS).bytes + SPARE_BYTES:
        raise EngineError(f"There is no room in {target.parent} for a copy of the data.", reason=Reason.DISK_FULL)
    head = {LABELS: json.dumps(dict(labels), sort_keys=True)}
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with (
            gzip.GzipFile("", "wb", 1, file, 0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, pax_headers=head) as archive,
        ):
            _add_all(archive, top, going_on)
        file.flush()
        os.fsync(file.fileno())


def unpack(source: Path, target: Path) -> None:
    """Make a new directory of an archive, with owners, modes and times. Raises REFUSED for what `pack` cannot have
    written."""
    try:
        with tarfile.open(source, "r:gz") as archive:
            members = archive.getmembers()
            _check(members)
            archive.extraction_filter = lambda member, path: member  # owners and modes as they were
            archive.extractall(target, members, numeric_owner=True)  # noqa: S202  # nosec B202
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise _damaged(source, error) from error


def labels_of(source: Path) -> dict[str, str]:
    """The labels in the head of an archive."""
    try:
        with tarfile.open(source, "r:gz") as archive:
            found: dict[str, str] = json.loads(archive.pax_headers[LABELS])
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, KeyError, ValueError) as error:
        raise _damaged(source, error) from error
    return found


def _add_all(archive: tarfile.TarFile, top: Path, going_on: GoingOn) -> None:
    known: dict[tuple[int, int], str] = {}
    for directory, folders, names, descriptor in os.fwalk(top):
        folders.sort()
        inside = os.path.relpath(directory, top)
        if inside == ".":
            archive.addfile(_entry(".", os.fstat(descriptor)))
        for name in sorted((*folders, *names)):
            if not going_on():
                raise EngineError("Given up on the way.", reason=Reason.CANCELLED)
            _add(archive, os.path.normpath(os.path.join(inside, name)), name, descriptor, known)


def _add(archive: tarfile.TarFile, path: str, name: str, directory: int, known: dict[tuple[int, int], str]) -> None:
    """Add one entry; a second name of a file is a link to the first."""
    try:
        facts = os.lstat(name, dir_fd=directory)
        if stat.S_ISLNK(facts.st_mode):
            entry = _entry(path, facts)
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=directory)
            archive.addfile(entry)
        elif stat.S_ISDIR(facts.st_mode):
            archive.addfile(_entry(path, facts))
        elif stat.S_ISREG(facts.st_mode):
            # Not blocking: a pipe may have taken its place.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with open(os.open(name, flags, dir_fd=directory), "rb") as file:
                _add_file(archive, path, file, known)
    except FileNotFoundError:
        return


def _add_file(archive: tarfile.TarFile, path: str, file: IO[bytes], known: dict[tuple[int, int], str]) -> None:
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        return
    entry = _entry(path, facts)
    first = known.setdefault((facts.st_dev, facts.st_ino), path)
    if first != path:
        entry.type, entry.linkname = tarfile.LNKTYPE, first
        archive.addfile(entry)
        return
    if facts.st_size - facts.st_blocks * 512 > MOST_HOLES_BYTES:
        text = f"{path} is {facts.st_size // 1024**2} MB of mostly nothing, which no archive can hold."
        raise EngineError(text, reason=Reason.REFUSED, permanent=True)
    entry.size = facts.st_size
    archive.addfile(entry, cast("IO[bytes]", _Steady(file)))


class _Steady:
    """A file as long as it was when it was opened: what a program cuts off meanwhile reads as zeros."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, count: int) -> bytes:
        return self._file.read(count).ljust(count, b"\0")


def _entry(path: str, facts: os.stat_result) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.uid, entry.gid, entry.mtime = facts.st_uid, facts.st_gid, facts.st_mtime
    entry.mode = stat.S_IMODE(facts.st_mode)
    if stat.S_ISDIR(facts.st_mode):
        entry.type = tarfile.DIRTYPE
    return entry


def _check(members: list[tarfile.TarInfo]) -> None:
    """Refuse names that lead out of the archive, by themselves or through a link in it."""
    files: set[str] = set()
    folders = {".", ""}
    for member in members:
        name = member.name
        parent = name.rpartition("/")[0]
        is_fit = not name.startswith("/") and ".." not in name.split("/") and parent in folders
        if member.isdir():
            folders.add(name)
        elif member.isreg():
            files.add(name)
        elif member.islnk():
            is_fit = is_fit and member.linkname in files
        else:
            is_fit = is_fit and member.issym()
        if not is_fit or (not member.isdir() and name in folders):
            raise EngineError(f"The archive holds {name}, which no workload's data do.", reason=Reason.REFUSED)


def _damaged(source: Path, error: Exception) -> EngineError:
    return EngineError(f"{source.name} is damaged: {error}", reason=Reason.REFUSED, permanent=True)
