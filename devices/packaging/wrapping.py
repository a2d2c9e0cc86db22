"""The content key of a bundle, wrapped for one device, so that nobody else who copies the file can read it.

RSA keys take it by OAEP. For keys on a curve a fresh key is agreed with the device's (ECDH-ES): its private half is
thrown away at once. An Ed25519 key can only sign, so such a device has an X25519 key of its own for this.
"""

from __future__ import annotations

import base64
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

RSA_OAEP: Final = "RSA-OAEP-256"
ECDH_P256: Final = "ECDH-ES-P256-A256GCM"
ECDH_X25519: Final = "ECDH-ES-X25519-A256GCM"
INFO: Final = b"kutanga content key 1"
ONCE: Final = bytes(12)  # a nonce is needed though the wrapping key is used once

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | x25519.X25519PublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey
OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


class WrapError(Exception):
    """The key cannot be wrapped for, or unwrapped with, this key."""


def can_wrap_for(key: Any) -> bool:
    """Whether a content key can be sent to the holder of this public key."""
    return isinstance(key, rsa.RSAPublicKey | x25519.X25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    )


def wrap(content_key: bytes, key: Any, *, bundle: bytes) -> dict[str, str]:
    """The content key for the holder of `key`; `bundle` is bound to it where the scheme has a place for it."""
    if not can_wrap_for(key):
        raise WrapError("No content key can be sent to a key of this kind.")
    if isinstance(key, rsa.RSAPublicKey):
        return {"algorithm": RSA_OAEP, "key": _text(key.encrypt(content_key, OAEP))}
    if isinstance(key, x25519.X25519PublicKey):
        once = x25519.X25519PrivateKey.generate()
        algorithm, shared = ECDH_X25519, once.exchange(key)
    else:
        fresh = ec.generate_private_key(ec.SECP256R1())
        algorithm, shared = ECDH_P256, fresh.exchange(ec.ECDH(), key)
        once = fresh  # type: ignore[assignment]  # both have public_key()
    ephemeral = _raw(once.public_key())
    wrapping = _derive(shared, algorithm, ephemeral, _raw(key))
    sealed = AESGCM(wrapping).encrypt(ONCE, content_key, bundle)
    return {"algorithm": algorithm, "ephemeral": _text(ephemeral), "key": _text(sealed)}


def unwrap(wrapped: dict[str, str], key: PrivateKey, *, bundle: bytes) -> bytes:
    """The content key. Raises `WrapError`; the algorithm must be the one of the key, whatever the message says."""
    try:
        sealed = base64.b64decode(wrapped["key"], validate=True)
        if isinstance(key, rsa.RSAPrivateKey):
            _expect(wrapped, RSA_OAEP)
            return key.decrypt(sealed, OAEP)
        ephemeral = base64.b64decode(wrapped["ephemeral"], validate=True)
        if isinstance(key, x25519.X25519PrivateKey):
            _expect(wrapped, ECDH_X25519)
            shared = key.exchange(x25519.X25519PublicKey.from_public_bytes(ephemeral))
        else:
            _expect(wrapped, ECDH_P256)
            theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), ephemeral)
            shared = key.exchange(ec.ECDH(), theirs)
        wrapping = _derive(shared, wrapped["algorithm"], ephemeral, _raw(key.public_key()))
        return AESGCM(wrapping).decrypt(ONCE, sealed, bundle)
    except (KeyError, ValueError, InvalidTag):
        raise WrapError("The content key was not wrapped for this key.") from None


def _expect(wrapped: dict[str, str], algorithm: str) -> None:
    if wrapped.get("algorithm") != algorithm:
        raise WrapError("The content key was wrapped in another way than this key takes.")


def _derive(shared: bytes, algorithm: str, ephemeral: bytes, recipient: bytes) -> bytes:
    info = b"|".join((INFO, algorithm.encode(), ephemeral, recipient))
    return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(shared)


def _raw(key: Any) -> bytes:
    if isinstance(key, x25519.X25519PublicKey):
        return key.public_bytes_raw()
    point = serialization.PublicFormat.UncompressedPoint
    raw: bytes = key.public_bytes(serialization.Encoding.X962, point)
    return raw


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
