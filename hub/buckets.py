"""Buckets that speak S3's protocol: AWS, MinIO, Ceph, Garage and the like.

`Bucket` is for whole objects; `BucketStorage` is one as a storage of Django. Written on minio's client: boto3, and so
django-storages, wants a python-dateutil that the client of Kubernetes refuses.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage

from hub.exceptions import NotFound, Unavailable

if TYPE_CHECKING:
    from typing import BinaryIO

    from minio import Minio
    from urllib3 import BaseHTTPResponse

PART_BYTES = 16 * 1024**2
BLOCK = 1024**2
CONNECT_SECONDS, ANSWER_SECONDS, ATTEMPTS = 10, 60, 4


class Bucket:
    """A bucket and a prefix of its names, `s3://bucket/prefix`. Long objects go up in parts.

    Every verb raises Unavailable when the server refuses or does not answer.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.bucket, self.prefix = parts.netloc, f"{parts.path.strip('/')}/".lstrip("/")
        self.where = address

    def put(self, name: str, blocks: Iterable[bytes], size_bytes: int) -> None:
        data = cast("BinaryIO", io.BufferedReader(Blocks(blocks), BLOCK))
        self.put_file(name, data, size_bytes)

    def put_file(self, name: str, data: IO[bytes], size_bytes: int) -> None:
        """Write an object from where the file stands."""
        with self.told(name):
            self._client.put_object(
                self.bucket,
                self.prefix + name,
                cast("BinaryIO", data),
                size_bytes,
                part_size=PART_BYTES,
                num_parallel_uploads=2,
            )

    def fetch(self, name: str, target: Path) -> None:
        answer = self.get(name)
        try:
            with writing_here(target), target.open("xb") as file:
                while block := self._next(answer, name):
                    file.write(block)
        finally:
            _end(answer)

    def _next(self, answer: BaseHTTPResponse, name: str) -> bytes:
        with self.told(name):
            return answer.read(BLOCK)

    def get(self, name: str, start: int = 0) -> BaseHTTPResponse:
        """An object from a byte on, as it comes; to be ended by who asked. Raises NotFound."""
        with self.told(name):
            return self._client.get_object(self.bucket, self.prefix + name, offset=start)

    def size(self, name: str) -> int:
        """Bytes of an object. Raises NotFound."""
        with self.told(name):
            return self._client.stat_object(self.bucket, self.prefix + name).size or 0

    def names(self, prefix: str = "") -> dict[str, int]:
        with self.told():
            found = self._client.list_objects(self.bucket, prefix=self.prefix + prefix, recursive=True)
            return {(each.object_name or "").removeprefix(self.prefix): each.size or 0 for each in found}

    def remove(self, names: Iterable[str]) -> None:
        with self.told():
            for name in names:
                self._client.remove_object(self.bucket, self.prefix + name)

    @cached_property
    def _client(self) -> Minio:
        """The client; its package is read only where a bucket is used."""
        import urllib3
        from minio import Minio
        from minio.credentials import IamAwsProvider, Provider, StaticProvider

        endpoint = urlsplit(settings.HUB_S3_ENDPOINT)
        keys: Provider = (
            StaticProvider(settings.HUB_S3_ACCESS_KEY, settings.HUB_S3_SECRET_KEY)
            if settings.HUB_S3_ACCESS_KEY
            else IamAwsProvider()  # asks again before they end
        )
        return Minio(
            endpoint.netloc,
            credentials=keys,
            secure=endpoint.scheme == "https",
            region=settings.HUB_S3_REGION,
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
                retries=urllib3.Retry(ATTEMPTS, backoff_factor=0.5, status_forcelist=[500, 502, 503, 504]),
            ),
        )

    @contextmanager
    def told(self, name: str = "") -> Iterator[None]:
        """Turn what the client says into our words."""
        from minio.error import MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            yield
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise NotFound(f"{name} is not in {self.where}.") from None
            raise Unavailable(f"The store {self.where} refuses: {error.code}, {error.message}") from error
        except (MinioException, HTTPError, OSError) as error:
            raise Unavailable(f"The store {self.where} does not answer: {error}") from error


@contextmanager
def writing_here(path: Path) -> Iterator[None]:
    """Tell a full disk on this machine from a store that does not answer."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path.parent} cannot be written: {error.strerror or error}.") from error


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


class BucketStorage(Storage):
    """A bucket for files of ours; it gives nobody an address of them."""

    def __init__(self, location: str) -> None:
        self.bucket = Bucket(location)

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        return File(io.BufferedReader(_Object(self.bucket, name, self.size(name)), BLOCK), name)

    def _save(self, name: str, content: File[bytes]) -> str:
        content.seek(0)
        self.bucket.put_file(name, cast("IO[bytes]", content), content.size)
        return name

    def delete(self, name: str) -> None:
        self.bucket.remove([name])

    def exists(self, name: str) -> bool:
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        try:
            return self.bucket.size(name)
        except NotFound as error:
            raise FileNotFoundError(str(error)) from None


class _Object(io.RawIOBase):
    """An object that is read from wherever one seeks to; what lies before is not fetched."""

    def __init__(self, bucket: Bucket, name: str, size_bytes: int) -> None:
        self.bucket, self.name_there, self.size_bytes = bucket, name, size_bytes
        self._place = 0
        self._answer: BaseHTTPResponse | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size_bytes}[whence]
        if base + offset != self._place:
            self._leave()
            self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.size_bytes - self._place)
        if wanted <= 0:
            return 0
        if self._answer is None:
            self._answer = self.bucket.get(self.name_there, self._place)
        with self.bucket.told(self.name_there):
            data = self._answer.read(wanted)
        if not data:
            raise Unavailable(f"The store {self.bucket.where} has ended {self.name_there} too early.")
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._leave()
        super().close()

    def _leave(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            _end(answer)


def _end(answer: BaseHTTPResponse) -> None:
    answer.close()
    answer.release_conn()
