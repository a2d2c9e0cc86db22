"""What a store holds is sealed under HUB_BACKUP_PASSPHRASE, so that whoever keeps it reads and forges nothing.

A main key is made of the passphrase by scrypt, with a salt that the store keeps in the clear. Each object has a key of
its own (HKDF of the main key, a random salt in front of the object, and the object's name) and is a stream of
`hub.sealing`: altered, cut off, reordered, or under another's name, it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from hub.buckets import writing_here
from hub.exceptions import Invalid, NotFound, Unavailable
from hub.sealing import SealedReader, SealError, seal, sealed_size

from .files import derive_key
from .place import folder
from .store import Store

SALT_BYTES = 16
LOCK = "store.json"
CHECK = b"kutanga-hub store of backups"
BLOCK = 1024**2


class SealedStore:
    """A store whose objects are sealed on the way there and opened on the way back."""

    def __init__(self, store: Store) -> None:
        if not settings.HUB_BACKUP_PASSPHRASE:
            raise Unavailable("Copies of backups leave this machine only sealed: set HUB_BACKUP_PASSPHRASE.")
        self.store = store

    def put_file(self, name: str, path: Path) -> int:
        """Seal a file and store it; returns how many bytes went there."""
        size = path.stat().st_size
        with path.open("rb") as file:
            return self._put(name, iter(lambda: file.read(BLOCK), b""), size)

    def put_json(self, name: str, content: Any) -> int:
        plain = json.dumps(content).encode()
        return self._put(name, [plain], len(plain))

    @contextmanager
    def opened(self, name: str) -> Iterator[SealedReader]:
        """Fetch an object; each block that the reader gives has passed its tag. Raises Invalid for what was altered."""
        with _draft() as draft:
            self.store.fetch(name, draft)
            with draft.open("rb") as file, _refused(name):
                salt = file.read(SALT_BYTES)
                reader = SealedReader(
                    cast("IO[bytes]", _From(file, SALT_BYTES)), self._key(name, salt), about=name.encode()
                )
                if draft.stat().st_size != SALT_BYTES + sealed_size(reader.size_bytes, reader.chunk_bytes):
                    raise SealError("Its length is not the one that was sealed.")
                yield reader

    def fetch_file(self, name: str, target: Path) -> None:
        """Bring an object to a new file, which appears only when all of it was opened."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = target.with_name(f".draft-{target.name}")
        try:
            with self.opened(name) as reader, writing_here(draft), draft.open("wb") as file:
                for block in reader.blocks():
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(target)
        finally:
            draft.unlink(missing_ok=True)

    def fetch_json(self, name: str) -> Any:
        with self.opened(name) as reader:
            plain = b"".join(reader.blocks())
        return json.loads(plain)

    def name_of(self, digest: str) -> str:
        """Name a content so that who sees the name cannot tell whether it is a file that he knows."""
        return hmac.digest(self._main, f"content {digest}".encode(), "sha256").hex()

    def _put(self, name: str, blocks: Iterable[bytes], size_bytes: int) -> int:
        salt = os.urandom(SALT_BYTES)
        whole = SALT_BYTES + sealed_size(size_bytes)
        stream = seal(blocks, size_bytes, self._key(name, salt), about=name.encode())
        try:
            self.store.put(name, _after(salt, stream), whole)
        except SealError as error:
            raise Unavailable(f"{name} changed while it was sent: {error}") from error
        return whole

    def _key(self, name: str, salt: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt, name.encode()).derive(self._main)

    @cached_property
    def _main(self) -> bytes:
        """The key that all others come from; the first one who asks for it chooses the store's salt."""
        try:
            with _draft() as draft:
                self.store.fetch(LOCK, draft)
                found = json.loads(draft.read_bytes())
            salt, check = (base64.b64decode(found[each], validate=True) for each in ("salt", "check"))
        except NotFound:
            return self._begin()
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise Invalid(f"{LOCK} in {self.store.where} is damaged: without its salt nothing there opens.") from None
        main = derive_key(settings.HUB_BACKUP_PASSPHRASE, salt)
        if not hmac.compare_digest(hmac.digest(main, CHECK, "sha256"), check):
            raise Invalid(f"HUB_BACKUP_PASSPHRASE is not the one with which {self.store.where} was sealed.")
        return main

    def _begin(self) -> bytes:
        if self.store.names():
            raise Invalid(f"{LOCK} is missing in {self.store.where}: without its salt nothing there opens.")
        salt = os.urandom(SALT_BYTES)
        main = derive_key(settings.HUB_BACKUP_PASSPHRASE, salt)
        parts = {"salt": salt, "check": hmac.digest(main, CHECK, "sha256")}
        plain = json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()}).encode()
        self.store.put(LOCK, [plain], len(plain))
        return main


class _From:
    """A file as if it began further on: all that `SealedReader` asks of one."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        self._file, self._start = file, start

    def seek(self, position: int) -> int:
        return self._file.seek(self._start + position)

    def read(self, count: int) -> bytes:
        return self._file.read(count)


@contextmanager
def _draft() -> Iterator[Path]:
    """A name in a directory of its own beside the backups, where there is room for them."""
    with tempfile.TemporaryDirectory(prefix=".transit-", dir=folder()) as place:
        yield Path(place, "object")


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except SealError as error:
        raise Invalid(f"{name} in the store is damaged or was altered: {error}") from None


def _after(salt: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield salt
    yield from blocks
