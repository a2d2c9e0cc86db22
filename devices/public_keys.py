"""Public keys of devices: which are taken, how each signs, and what a signature proves.

The algorithm follows from the key. A message may name it, and is refused when it names another; it never chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from hub.exceptions import Invalid

from .choices import KeyAlgorithm

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey

LONGEST_PEM: Final = 4096
RSA_BITS: Final = (2048, 8192)
RSA_EXPONENT: Final = 65537
SMALL_PRIMES: Final = math.prod(
    number for number in range(3, 2000, 2) if all(number % factor for factor in range(3, math.isqrt(number) + 1, 2))
)
P256_BYTES: Final = 32
PSS: Final = padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=64)

SHARED_KEYS: Final = frozenset(
    {
        "34571606cb7a0d71be377e671ddcccae2a169ed7733598214129231cd30c4a3c",  # RFC 9421, test-key-ed25519
        "55f96361b78cbb84f1fc604b0718e82bd91abb46d8fc25ae871b35fbbf8b7974",  # RFC 9421, test-key-ecc-p256
        "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9",  # RFC 8032 and 8037, Ed25519
        "a40f0f2e2974dc76a82df6ffe08ed0d79955c79e7ad0c20d97ae8f9246ade1c1",  # the ES256 example of jwt.io
    }
)
"""Fingerprints of keys whose private half everybody can read, because they stand in documents."""


@dataclass(frozen=True)
class KeyFacts:
    """A public key that may be used, in one form."""

    key: PublicKey
    algorithm: KeyAlgorithm
    bits: int
    pem: str
    fingerprint: str


def read(pem: str) -> KeyFacts:
    """The facts of a key in PEM. Raises `Invalid` with the reason for one that is weak or of a kind not taken."""
    if len(pem) > LONGEST_PEM:
        raise _refused("The key is longer than any that is taken.")
    try:
        key = load_pem_public_key(pem.strip().encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise _refused("This is not a public key in PEM (SubjectPublicKeyInfo).") from None
    algorithm, bits = _judged(key)
    assert isinstance(key, PublicKey)  # noqa: S101 - for the type checker: _judged refuses all others
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    fingerprint = sha256(der).hexdigest()
    if fingerprint in SHARED_KEYS:
        raise _refused("The private half of this key is public: it stands in a document. Make a key of your own.")
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return KeyFacts(key, algorithm, bits, text, fingerprint)


def verifies(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether the holder of this key has signed the message, in the one way that this kind of key signs."""
    try:
        match key:
            case rsa.RSAPublicKey():
                key.verify(signature, message, PSS, SHA512())
            case ec.EllipticCurvePublicKey():
                if len(signature) != 2 * P256_BYTES:
                    return False
                r, s = (int.from_bytes(part) for part in (signature[:P256_BYTES], signature[P256_BYTES:]))
                key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
            case _:
                key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _judged(key: object) -> tuple[KeyAlgorithm, int]:
    """How a key signs and its size. Raises `Invalid` for those that are not taken."""
    match key:
        case rsa.RSAPublicKey():
            least, most = RSA_BITS
            if not least <= key.key_size <= most:
                raise _refused(f"RSA keys have {least} to {most} bits; this one has {key.key_size}.")
            numbers = key.public_numbers()
            if numbers.e != RSA_EXPONENT:
                raise _refused(f"RSA keys have the exponent {RSA_EXPONENT}; this one has {numbers.e}.")
            if numbers.n % 2 == 0 or math.gcd(numbers.n, SMALL_PRIMES) != 1:
                raise _refused("This RSA key can be factored.")
            return KeyAlgorithm.RSA, key.key_size
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, ec.SECP256R1):
                raise _refused(f"Of the curves P-256 is taken; this is {key.curve.name}.")
            return KeyAlgorithm.P256, 256
        case Ed25519PublicKey():
            return KeyAlgorithm.ED25519, 256
    raise _refused("Keys are RSA, ECDSA P-256 or Ed25519.")


def _refused(why: str) -> Invalid:
    return Invalid(why, code="key_refused", field="public_key")
