"""Unpack a bundle: plain files and directories below one directory, so many and so large, and nothing else."""

from __future__ import annotations

import json
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import WorkError, of_disk

MOST_MEMBERS = 20_000
MOST_RATIO = 200
LEAST_ALLOWED = 1 << 20
BLOCK = 1 << 20
FILE_MODE, PROGRAM_MODE = 0o640, 0o750


def unpack(archive: Path, target: Path, *, most_bytes: int = 4 << 30) -> None:
    """Into a directory that is not there yet; what is refused leaves nothing."""
    room = shutil.disk_usage(target.parent).free
    most = min(most_bytes, max(LEAST_ALLOWED, archive.stat().st_size * MOST_RATIO))
    target.mkdir(mode=0o750)
    try:
        with tarfile.open(archive, "r|gz") as tar:
            _unpack(tar, target, most, room)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise WorkError("archive", f"The archive cannot be read: {error}") from None
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise of_disk(error, "archive") from None
    except WorkError:
        shutil.rmtree(target, ignore_errors=True)
        raise


def read_manifest(place: Path) -> tuple[Path, dict[str, Any]]:
    """The directory that holds the manifest, the top or the only one in it, and the manifest."""
    found = [place, *(each for each in place.iterdir() if each.is_dir())]
    roots = [each for each in found if (each / "manifest.json").is_file()]
    if len(roots) != 1:
        raise WorkError("archive", "The bundle must hold one manifest.json.")
    try:
        manifest = json.loads((roots[0] / "manifest.json").read_bytes()[:65_536])
        if not isinstance(manifest["version"], str):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WorkError("archive", "manifest.json is not one.") from None
    return roots[0], manifest


def inside(root: Path, name: str) -> Path:
    """A file of the bundle by its name in the manifest."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or not (root / path).is_file():
        raise WorkError("archive", f"The manifest names a script that is not in the bundle: {name[:100]}")
    return root / path


def _unpack(tar: tarfile.TarFile, target: Path, most: int, room: int) -> None:
    left, members = most, 0
    for member in tar:
        members += 1
        path = PurePosixPath(member.name)
        if members > MOST_MEMBERS:
            raise WorkError("archive", "The archive has too many members.")
        if path.is_absolute() or ".." in path.parts or "\\" in member.name or len(member.name) > 1024:
            raise WorkError("archive", f"{member.name[:100]} leads out of the bundle.")
        place = target / path
        if member.isdir():
            place.mkdir(mode=0o750, parents=True, exist_ok=True)
            continue
        if not member.isreg():
            raise WorkError("archive", f"{member.name[:100]} is neither a file nor a directory.")
        left -= member.size
        if left < 0:
            raise WorkError("archive", "The archive is far larger than it should be.")
        if most - left > room:
            raise WorkError("space", "There is no room on the device to unpack it.")
        place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        source = tar.extractfile(member)
        with place.open("xb") as file:  # twice the same name is refused
            while source is not None and (block := source.read(BLOCK)):
                file.write(block)
        place.chmod(PROGRAM_MODE if member.mode & 0o100 else FILE_MODE)
