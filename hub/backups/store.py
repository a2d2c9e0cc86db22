"""Where copies of backups go that shall outlive this machine: a bucket that speaks S3, or another directory.

Both hold named objects that are replaced whole. What they hold is sealed before it gets here (`hub.backups.sealed`).
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import urlsplit

from django.conf import settings

from hub.exceptions import NotFound, Unavailable

from .place import sync

if TYPE_CHECKING:
    from typing import BinaryIO

    from minio import Minio

PART_BYTES = 16 * 1024**2
CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 10, 60, 4


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
        with self._told():
            try:
                shutil.copyfile(self.root / name, target)
            except FileNotFoundError:
                raise NotFound(f"{name} is not in {self.where}.") from None

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
            raise Unavailable(
                f"The store of backups {self.where} cannot be used: {error.strerror or error}."
            ) from error


class Bucket:
    """A bucket behind S3's protocol: AWS, MinIO, Ceph, Garage and the like. Long objects go up in parts."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.bucket, self.prefix = parts.netloc, f"{parts.path.strip('/')}/".lstrip("/")
        self.where = address

    def put(self, name: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        data = cast("BinaryIO", io.BufferedReader(Blocks(blocks), 1024**2))
        with self._told(name):
            self._client.put_object(
                self.bucket, self.prefix + name, data, size_bytes, part_size=PART_BYTES, num_parallel_uploads=2
            )

    def fetch(self, name: str, target: Path) -> None:
        with self._told(name):
            answer = self._client.get_object(self.bucket, self.prefix + name)
            try:
                with target.open("xb") as file:
                    shutil.copyfileobj(answer, file, 1024**2)
            finally:
                answer.close()
                answer.release_conn()

    def names(self, prefix: str = "") -> dict[str, int]:
        with self._told():
            found = self._client.list_objects(self.bucket, prefix=self.prefix + prefix, recursive=True)
            return {(each.object_name or "").removeprefix(self.prefix): each.size or 0 for each in found}

    def remove(self, names: Iterable[str]) -> None:
        with self._told():
            for name in names:
                self._client.remove_object(self.bucket, self.prefix + name)

    @cached_property
    def _client(self) -> Minio:
        """The client; its package is read only where a bucket is used."""
        import urllib3
        from minio import Minio

        endpoint = urlsplit(settings.HUB_S3_ENDPOINT)
        return Minio(
            endpoint.netloc,
            access_key=settings.HUB_S3_ACCESS_KEY,
            secret_key=settings.HUB_S3_SECRET_KEY,
            secure=endpoint.scheme == "https",
            region=settings.HUB_S3_REGION,
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
                retries=urllib3.Retry(ATTEMPTS, backoff_factor=0.5, status_forcelist=[500, 502, 503, 504]),
            ),
        )

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        """Turn what the client says into our words."""
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            yield
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise NotFound(f"{name} is not in {self.where}.") from None
            raise Unavailable(f"The store of backups {self.where} refuses: {error.code}, {error.message}") from error
        except (MinioException, HTTPError, OSError) as error:
            raise Unavailable(f"The store of backups {self.where} does not answer: {error}") from error


class Blocks(io.RawIOBase):
    """Blocks as a file that is read once."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = block
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
