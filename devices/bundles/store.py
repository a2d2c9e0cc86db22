"""Where the files of bundles are: pieces of an upload on this machine, whole ones in the storage that settings name.

The storage is Django's (`STORAGES["bundles"]`): a local directory, or a bucket that speaks S3 (`HUB_BUNDLE_STORE`).
A stored file is named by its bundle's id and never changes, so that storing it twice is harmless.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from hub.exceptions import Conflict, Unavailable
from hub.failpoints import declare, failpoint

declare("bundles.piece_written", "bundles.before_store", "bundles.after_store")


class UploadLost(Conflict):
    """What had arrived of an upload is gone: with a disk, or it lies on another machine."""

    code = "upload_lost"

    def __init__(self) -> None:
        super().__init__("What has arrived is not on this machine any more. Delete the upload and begin again.")


class StagedFile(File[bytes]):
    """A file that a local storage may take instead of copying it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"), name=path.name)
        self.path = path

    def temporary_file_path(self) -> str:
        return str(self.path)


def storage() -> Storage:
    return storages["bundles"]


def incoming(bundle_id: UUID) -> Path:
    """The file that collects what arrives."""
    return Path(settings.HUB_BUNDLES_INCOMING) / f"{bundle_id}.part"


def write_piece(bundle_id: UUID, offset: int, data: bytes) -> None:
    """Write bytes where they belong; what a killed request wrote beyond is written over. Never leaves a hole."""
    path = incoming(bundle_id)
    flags = os.O_RDWR if offset else os.O_RDWR | os.O_CREAT
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
            if file.seek(0, os.SEEK_END) < offset:
                raise UploadLost
            file.seek(offset)
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        raise UploadLost from None
    except OSError as error:
        raise Unavailable(f"The upload cannot be written: {error.strerror}.", code="store_unavailable") from None
    failpoint("bundles.piece_written")


def forget_incoming(bundle_id: UUID) -> None:
    for path in (incoming(bundle_id), incoming(bundle_id).with_suffix(".sealed")):
        path.unlink(missing_ok=True)


def put(name: str, bundle_id: UUID, blocks: Iterable[bytes] | None) -> None:
    """Store the blocks, or the incoming file as it is when there are none, under this name; over what is there."""
    path = incoming(bundle_id)
    if blocks is not None:
        path = path.with_suffix(".sealed")
        with path.open("wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    failpoint("bundles.before_store")
    kept = storage()
    with suppress(FileNotFoundError):
        kept.delete(name)
    with StagedFile(path) as staged:
        stored = kept.save(name, staged)
    failpoint("bundles.after_store")
    if stored != name:
        kept.delete(stored)
        raise Unavailable("The storage has another file of this name.", code="store_unavailable")


@contextmanager
def opened(name: str) -> Iterator[IO[Any]]:
    """A stored file, to be read. Raises FileNotFoundError."""
    with storage().open(name, "rb") as file:
        yield file


def open_stored(name: str) -> IO[Any]:
    """The same, for who closes it himself."""
    return storage().open(name, "rb")


def remove(name: str) -> None:
    with suppress(FileNotFoundError):
        storage().delete(name)


def is_local() -> bool:
    """Whether a web server beside us can read the files by itself."""
    return isinstance(storage(), FileSystemStorage)
