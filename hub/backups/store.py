"""Where copies of backups go that shall outlive this machine: a bucket that speaks S3, or another directory.

Both hold named objects that are replaced whole. What they hold is sealed before it gets here (`hub.backups.sealed`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from django.conf import settings

from hub.buckets import BLOCK, Bucket, writing_here
from hub.exceptions import NotFound, Unavailable

from .place import sync


class Store(Protocol):
    """Named objects, each written and read whole."""

    @property
    def where(self) -> str:
        """What people call it."""

    def put(self, name: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        """Write an object; it appears when it is complete."""

    def fetch(self, name: str, target: Path) -> None:
        """Read an object into a new file. Raises NotFound."""

    def names(self, prefix: str = "") -> dict[str, int]:
        """Return the objects whose name begins so, with their sizes."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is gone already is no fault."""


def open_store() -> Store:
    """Return the store of the settings. Raises Unavailable when none is set."""
    place = settings.HUB_BACKUP_STORE
    if not place:
        raise Unavailable("No store for copies of backups is set: HUB_BACKUP_STORE names a bucket or a directory.")
    return Bucket(place) if place.startswith("s3://") else Directory(Path(place))


class Directory:
    """A directory, such as a disk of another machine that is mounted here."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def where(self) -> str:
        return str(self.root)

    def put(self, name: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        with self._told():
            path = self.root / name
            # The root has to be there: a disk that is not mounted must not become a directory on this one.
            self.root.stat()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.draft")
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                for block in blocks:
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
            sync(path.parent)

    def fetch(self, name: str, target: Path) -> None:
        with self._told(), contextlib.ExitStack() as stack:
            try:
                source = stack.enter_context((self.root / name).open("rb"))
            except FileNotFoundError:
                raise NotFound(f"{name} is not in {self.where}.") from None
            with writing_here(target), target.open("wb") as file:
                while block := self._read(source):
                    file.write(block)

    def _read(self, source: IO[bytes]) -> bytes:
        with self._told():
            return source.read(BLOCK)

    def names(self, prefix: str = "") -> dict[str, int]:
        with self._told():
            self.root.stat()
            top = self.root / prefix.rpartition("/")[0]
            found = (path for path in top.rglob("*") if path.is_file() and not path.name.startswith("."))
            named = {str(path.relative_to(self.root)): path.stat().st_size for path in found}
            return {name: size for name, size in named.items() if name.startswith(prefix)}

    def remove(self, names: Iterable[str]) -> None:
        with self._told():
            for name in names:
                (self.root / name).unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Unavailable(f"The store {self.where} cannot be used: {error.strerror or error}.") from error
