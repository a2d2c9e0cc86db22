"""What may be in a bundle's archive: plain files and directories below it, so many and so large, and a manifest.

Looked at as a stream when a bundle is uploaded, so that no device is sent what it would refuse. Agents check again, by
the same rules, while they unpack.
"""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, Final

from .manifest import Manifest, ManifestError, is_inside, parse

MANIFEST: Final = "manifest.json"
LONGEST_MANIFEST: Final = 65_536
LONGEST_NAME: Final = 1024
HEADERS_BYTES: Final = 2048  # of one member: headers, a long name and what fills up its last block


class ArchiveError(Exception):
    """The archive is not one that a device would unpack."""


@dataclass(frozen=True)
class Limits:
    """How much may be in an archive. `ratio` is how much longer it may become than it is, from 1 MiB on."""

    members: int = 20_000
    unpacked_bytes: int = 4 << 30
    ratio: int = 200


@dataclass(frozen=True)
class Contents:
    """What was found."""

    manifest: Manifest
    members: int
    unpacked_bytes: int


def inspect(file: IO[bytes], size_bytes: int, limits: Limits = Limits()) -> Contents:
    """Walk through a tar.gz. Raises `ArchiveError`, `ManifestError`."""
    most = min(limits.unpacked_bytes, max(1 << 20, size_bytes * limits.ratio))
    members = unpacked = 0
    found: dict[str, bytes] = {}
    names: set[str] = set()
    stream: Any = _Counted(file, most + limits.members * HEADERS_BYTES)  # tarfile asks for no more than `read`
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                members += 1
                if members > limits.members:
                    raise ArchiveError(f"It has more than {limits.members} members.")
                check_member(member, names)
                unpacked += member.size
                if unpacked > most:
                    raise ArchiveError("Unpacked it would be far larger than it should be.")
                if is_manifest(member):
                    found[member.name] = _read_manifest(archive, member)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ArchiveError(f"It is not a tar.gz that can be read to its end: {error}") from None
    if len(found) != 1:
        raise ArchiveError(f"It must hold one {MANIFEST}, at its top or in its only directory; it holds {len(found)}.")
    name, text = next(iter(found.items()))
    top = PurePosixPath(name).parent
    if str(top) != "." and any(top not in (PurePosixPath(each), *PurePosixPath(each).parents) for each in names):
        raise ArchiveError(f"{MANIFEST} must be at the top, or everything in the one directory that holds it.")
    manifest = parse(text)
    scripts = [manifest.raw[kind]["script"] for kind in ("deploy", "rollback", "health") if kind in manifest.raw]
    if missing := [each for each in scripts if str(top / each) not in names]:
        raise ManifestError(f"It names a script that is not in the archive: {missing[0]}")
    return Contents(manifest, members, unpacked)


def check_member(member: tarfile.TarInfo, names: set[str]) -> None:
    """Refuse what could leave the directory, stand for something else or be there twice; remember its name."""
    name = str(PurePosixPath(member.name))
    if not (member.isreg() or member.isdir()):
        raise ArchiveError(f"{member.name[:100]} is neither a file nor a directory.")
    if name != "." and (not is_inside(member.name) or len(member.name) > LONGEST_NAME):
        raise ArchiveError(f"{member.name[:100]} leads out of the bundle.")
    if name in names and not member.isdir():
        raise ArchiveError(f"{member.name[:100]} is in it twice.")
    names.add(name)


def is_manifest(member: tarfile.TarInfo) -> bool:
    path = PurePosixPath(member.name)
    return member.isreg() and path.name == MANIFEST and len(path.parts) <= 2


def _read_manifest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > LONGEST_MANIFEST:
        raise ManifestError(f"The manifest is longer than {LONGEST_MANIFEST} bytes.")
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


class _Counted:
    """Unpacks gzip as it is read, and no more bytes than are asked for, so that a bomb is never in memory."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._left = most
        self._inflate = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        pieces, wanted = [], size
        while wanted > 0 and not self._inflate.eof:
            raw = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            piece = self._inflate.decompress(raw, wanted)
            if not raw and not piece and not self._inflate.eof:
                raise ArchiveError("It is cut off.")
            self._left -= len(piece)
            if self._left < 0:
                raise ArchiveError("Unpacked it would be far larger than it should be.")
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)
