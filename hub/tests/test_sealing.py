"""The cipher in chunks: what goes in comes out, from any place, and nothing that was meddled with."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sealing import HEADER, TAG_BYTES, SealedReader, SealError, new_key, seal, sealed_size

BUNDLE = b"bundle 1"
CHUNK = 64


def sealed(plain: bytes, key: bytes, *, pieces: int = 7) -> bytes:
    blocks = [plain[at : at + pieces] for at in range(0, len(plain), pieces)]
    return b"".join(seal(blocks, len(plain), key, about=BUNDLE, chunk_bytes=CHUNK))


def opened(data: bytes, key: bytes, bundle: bytes = BUNDLE) -> bytes:
    return b"".join(SealedReader(io.BytesIO(data), key, about=bundle).blocks())


@given(plain=st.binary(max_size=300), start=st.integers(0, 310), length=st.integers(0, 310))
def test_any_part_is_read_as_it_was(plain: bytes, start: int, length: int) -> None:
    key = new_key()
    data = sealed(plain, key)

    reader = SealedReader(io.BytesIO(data), key, about=BUNDLE)

    assert len(data) == sealed_size(len(plain), CHUNK)
    assert b"".join(reader.blocks()) == plain
    assert b"".join(reader.blocks(start, start + length)) == plain[start : start + length]


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int) -> None:
    key = new_key()
    data = bytearray(sealed(bytes(range(200)), key))
    data[at % len(data)] ^= 1 << bit

    with pytest.raises(SealError):
        opened(bytes(data), key)


def _chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    body, step = data[HEADER.size :], CHUNK + TAG_BYTES
    return data[: HEADER.size], [body[at : at + step] for at in range(0, len(body), step)]


@pytest.mark.parametrize(
    "meddle",
    [
        lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
        lambda chunks: [chunks[0], chunks[0], *chunks[2:]],
        lambda chunks: chunks[:-1],
        lambda chunks: [*chunks[:-1], chunks[-2]],
        lambda chunks: [],
    ],
    ids=["swapped", "doubled", "cut off", "last replaced", "empty"],
)
def test_chunks_stay_in_their_places(meddle: Any) -> None:
    key = new_key()
    header, chunks = _chunks(sealed(bytes(range(256)), key))

    with pytest.raises(SealError):
        opened(header + b"".join(meddle(chunks)), key)


def test_a_shorter_file_cannot_be_claimed() -> None:
    """The length stands in the header, and the header is under every tag."""
    key = new_key()
    header, chunks = _chunks(sealed(bytes(256), key))
    magic, chunk, _, prefix = HEADER.unpack(header)

    with pytest.raises(SealError):
        opened(HEADER.pack(magic, chunk, 128, prefix) + b"".join(chunks[:2]), key)


def test_another_key_or_bundle_opens_nothing() -> None:
    key = new_key()
    data = sealed(b"hello", key)

    with pytest.raises(SealError):
        opened(data, new_key())
    with pytest.raises(SealError):
        opened(data, key, b"bundle 2")


@pytest.mark.parametrize("said", [3, 5, 1000])
def test_a_length_that_is_not_true_is_refused(said: int) -> None:
    with pytest.raises(SealError):
        list(seal([b"four"], said, new_key(), about=BUNDLE))


def test_the_same_file_never_looks_the_same() -> None:
    key = new_key()

    assert sealed(b"hello", key) != sealed(b"hello", key)


def test_nothing_is_given_out_before_its_tag() -> None:
    """A reader that meets a damaged chunk has given out only whole chunks before it."""
    key = new_key()
    data = bytearray(sealed(bytes(200), key))
    data[HEADER.size + CHUNK + TAG_BYTES + 5] ^= 1
    given_out: list[bytes] = []

    with pytest.raises(SealError):
        given_out.extend(SealedReader(io.BytesIO(bytes(data)), key, about=BUNDLE).blocks())

    assert given_out == [bytes(CHUNK)]
