"""Digests of a bundle, all three in one pass: SHA-256 is what counts, the others are what older clients ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Final

BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class Digests:
    """Size and digests of what was read."""

    size_bytes: int
    sha256: str
    sha1: str
    md5: str


class Digester:
    """Takes the blocks of a file in their order."""

    def __init__(self) -> None:
        self.size_bytes = 0
        # SHA-1 and MD5 protect nothing here: DDI clients refuse files without them.
        self._hashes = [
            hashlib.sha256(),
            hashlib.sha1(usedforsecurity=False),
            hashlib.md5(usedforsecurity=False),
        ]

    def update(self, block: bytes) -> None:
        self.size_bytes += len(block)
        for each in self._hashes:
            each.update(block)

    def digests(self) -> Digests:
        return Digests(self.size_bytes, *(each.hexdigest() for each in self._hashes))


def blocks_of(file: IO[bytes], size: int = BLOCK) -> Iterator[bytes]:
    """The rest of a file in blocks."""
    while block := file.read(size):
        yield block


def digest(blocks: Iterable[bytes]) -> Digests:
    """The digests of blocks."""
    digester = Digester()
    for block in blocks:
        digester.update(block)
    return digester.digests()
