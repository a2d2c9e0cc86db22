"""AES-256-GCM in chunks: a file of any size is written and read as a stream, from any place, without trusting a byte.

The form is that of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce of a chunk holds its number and whether
it is the last, so that chunks that are swapped, doubled, left out or cut off at the end do not open. The header and the
caller's words (`about`: whose file it is) are authenticated with every chunk. A content key is used for one file only.

    header  magic "KHB1" | chunk size, 4 bytes | length of the plain file, 8 bytes | random prefix, 7 bytes | 0
    chunk   AES-256-GCM of up to `chunk size` bytes: cipher text and a tag of 16 bytes
    nonce   prefix | number of the chunk, 4 bytes | 1 for the last chunk, else 0

Numbers are unsigned, the most significant byte first. An empty file has one empty chunk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"KHB1"
HEADER: Final = struct.Struct(">4sIQ7sx")
TAG_BYTES: Final = 16
KEY_BYTES: Final = 32
CHUNK_BYTES: Final = 1 << 20
MOST_CHUNKS: Final = 1 << 32


class SealError(Exception):
    """The file is not what was sealed with this key for this purpose."""


def new_key() -> bytes:
    """A content key."""
    return AESGCM.generate_key(KEY_BYTES * 8)


def sealed_size(size_bytes: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """How long a file of that length is when sealed."""
    return HEADER.size + size_bytes + TAG_BYTES * _chunks(size_bytes, chunk_bytes)


def seal(
    blocks: Iterable[bytes], size_bytes: int, key: bytes, *, about: bytes, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """The sealed file. `size_bytes` must be the true length; raises `SealError` when it is not."""
    if _chunks(size_bytes, chunk_bytes) > MOST_CHUNKS:
        raise SealError("The file is too long for its chunks.")
    prefix = os.urandom(7)
    header = HEADER.pack(MAGIC, chunk_bytes, size_bytes, prefix)
    yield header
    cipher, last = AESGCM(key), _chunks(size_bytes, chunk_bytes) - 1
    taken = 0
    for number, chunk in enumerate(_regular(blocks, chunk_bytes)):
        taken += len(chunk)
        if number > last:
            raise SealError("The file is longer than was said.")
        yield cipher.encrypt(_nonce(prefix, number, last), chunk, header + about)
    if taken != size_bytes:
        raise SealError("The file is shorter than was said.")


class SealedReader:
    """Reads a sealed file as the plain one, from any place; every byte has passed its tag before it is given out."""

    def __init__(self, file: IO[bytes], key: bytes, *, about: bytes) -> None:
        self._file = file
        file.seek(0)
        raw = file.read(HEADER.size)
        if len(raw) != HEADER.size:
            raise SealError("The file has no header.")
        magic, self.chunk_bytes, self.size_bytes, self._prefix = HEADER.unpack(raw)
        if magic != MAGIC or not self.chunk_bytes or self.chunk_bytes > 1 << 26:
            raise SealError("The file was not sealed in this form.")
        self._cipher = AESGCM(key)
        self._associated = raw + about
        self._last = _chunks(self.size_bytes, self.chunk_bytes) - 1

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The plain bytes from `start` up to `end`, in blocks."""
        end = self.size_bytes if end is None else min(end, self.size_bytes)
        if not self.size_bytes:
            self._open(0)
        position = start
        while position < end:
            number = position // self.chunk_bytes
            offset = position - number * self.chunk_bytes
            piece = self._open(number)[offset : end - number * self.chunk_bytes]
            yield piece
            position += len(piece)

    def _open(self, number: int) -> bytes:
        self._file.seek(HEADER.size + number * (self.chunk_bytes + TAG_BYTES))
        left = self.size_bytes - number * self.chunk_bytes
        expected = min(left, self.chunk_bytes) + TAG_BYTES
        sealed = self._file.read(expected)
        if len(sealed) != expected:
            raise SealError("The file ends too early.")
        try:
            return self._cipher.decrypt(_nonce(self._prefix, number, self._last), sealed, self._associated)
        except InvalidTag:
            raise SealError(f"Chunk {number} is damaged, or the key is another one.") from None


def _chunks(size_bytes: int, chunk_bytes: int) -> int:
    return max(1, -(-size_bytes // chunk_bytes))


def _nonce(prefix: bytes, number: int, last: int) -> bytes:
    return prefix + struct.pack(">IB", number, number == last)


def _regular(blocks: Iterable[bytes], chunk_bytes: int) -> Iterator[bytes]:
    """The same bytes in pieces of one length, the last one shorter; one empty piece when there is nothing."""
    kept = bytearray()
    is_empty = True
    for block in blocks:
        kept += block
        while len(kept) > chunk_bytes or (len(kept) == chunk_bytes and chunk_bytes):
            yield bytes(kept[:chunk_bytes])
            del kept[:chunk_bytes]
            is_empty = False
    if kept or is_empty:
        yield bytes(kept)
