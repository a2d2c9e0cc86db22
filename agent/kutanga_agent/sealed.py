"""What a bundle must be before it is used: whole, signed by a publisher we trust, and opened with our key."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from .errors import WorkError
from .keys import Key, KeyStore

PUBLISHERS, SEALING = "publishers", "sealing.pem"
HEADER = struct.Struct(">4sIQ7sx")
TAG_BYTES = 16
BLOCK = 1 << 20
MOST_CHUNK = 1 << 26
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
CONTEXT = b"kutanga bundle statement 1\n"
INFO = b"kutanga content key 1"


def sealing_key(store: KeyStore) -> Key:
    """The X25519 key by which we read what is sealed for us; made when there is none."""
    found = store.load(SEALING)
    if found is None:
        found = Key(x25519.X25519PrivateKey.generate())
        store.save(found, SEALING)
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def check_publisher(bundle: dict[str, Any], place: Path) -> None:
    """That a publisher whose key was put on this device says so; without any such key nothing is asked.

    What is signed must be what we were told: name, version, length and digest.
    """
    keys = [_public(path) for path in sorted((place / PUBLISHERS).glob("*.pem"))]
    if not keys:
        return
    signed = bundle.get("signed")
    if not isinstance(signed, dict):
        raise WorkError("signature", "The bundle is not signed.")
    try:
        key = next(each for each in keys if _fingerprint(each) == signed["key"])
        text, raw = CONTEXT + signed["statement"].encode(), base64.b64decode(signed["signature"], validate=True)
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(raw, text)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, text, ec.ECDSA(hashes.SHA256()))
        else:
            raise WorkError("signature", "The publisher's key is of a kind that is not taken.")
        said = json.loads(signed["statement"])
    except StopIteration:
        raise WorkError("signature", "It is signed by nobody whom this device trusts.") from None
    except (KeyError, TypeError, ValueError, AttributeError, InvalidSignature):
        raise WorkError("signature", "The signature does not hold.") from None
    for name in ("name", "version", "size_bytes", "sha256"):
        if said.get(name) != bundle.get(name):
            raise WorkError("signature", f"The publisher has signed another {name}.")


def open_sealed(source: Path, target: Path, wrapped: dict[str, str], bundle_id: bytes, keys: list[Any]) -> None:
    """Write the plain file; every chunk has passed its tag before a byte of it is written."""
    cipher = AESGCM(_content_key(wrapped, bundle_id, keys))
    with source.open("rb") as file, target.open("wb") as plain:
        for block in _chunks(file, cipher, bundle_id):
            plain.write(block)


def _chunks(file: IO[bytes], cipher: AESGCM, bundle_id: bytes) -> Iterator[bytes]:
    header = file.read(HEADER.size)
    if len(header) != HEADER.size:
        raise WorkError("decryption", "The sealed file has no header.")
    magic, size, length, prefix = HEADER.unpack(header)
    if magic != b"KHB1" or not 0 < size <= MOST_CHUNK:
        raise WorkError("decryption", "The file is not sealed in a form that is known here.")
    last = max(1, -(-length // size)) - 1
    for number in range(last + 1):
        expected = min(length - number * size, size) + TAG_BYTES
        sealed = file.read(expected)
        if len(sealed) != expected:
            raise WorkError("corrupted", "The sealed file is cut off.")
        nonce = prefix + struct.pack(">IB", number, number == last)
        try:
            yield cipher.decrypt(nonce, sealed, header + bundle_id)
        except InvalidTag:
            raise WorkError("decryption", f"Chunk {number} is damaged, or was sealed for another.") from None
    if file.read(1):
        raise WorkError("decryption", "There is something behind the end of the sealed file.")


def _content_key(wrapped: dict[str, str], bundle_id: bytes, keys: list[Any]) -> bytes:
    """Unwrap with whichever of our keys the hub has chosen; the algorithm must be that of the key."""
    for key in keys:
        try:
            sealed = base64.b64decode(wrapped["key"], validate=True)
            algorithm = wrapped["algorithm"]
            if isinstance(key, rsa.RSAPrivateKey) and algorithm == "RSA-OAEP-256":
                return key.decrypt(sealed, OAEP)
            ephemeral = base64.b64decode(wrapped.get("ephemeral", ""), validate=True)
            if isinstance(key, x25519.X25519PrivateKey) and algorithm == "ECDH-ES-X25519-A256GCM":
                shared = key.exchange(x25519.X25519PublicKey.from_public_bytes(ephemeral))
                own = key.public_key().public_bytes_raw()
            elif isinstance(key, ec.EllipticCurvePrivateKey) and algorithm == "ECDH-ES-P256-A256GCM":
                theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ephemeral)
                shared = key.exchange(ec.ECDH(), theirs)
                own = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            else:
                continue
            info = b"|".join((INFO, algorithm.encode(), ephemeral, own))
            wrapping = HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(shared)
            return AESGCM(wrapping).decrypt(bytes(12), sealed, bundle_id)
        except (KeyError, ValueError, InvalidTag):
            continue
    raise WorkError("decryption", "The key of the bundle was not wrapped for this device.")


def _public(path: Path) -> Any:
    try:
        return load_pem_public_key(path.read_bytes())
    except ValueError:
        raise WorkError("signature", f"{path.name} is no public key.") from None


def _fingerprint(key: Any) -> str:
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
