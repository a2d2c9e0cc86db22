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
WEAK_ROOT: Final = 65537
SUBGROUPS: Final = {
    prime: {pow(WEAK_ROOT, power, prime) for power in range(prime - 1)}
    for prime in range(3, 168)
    if all(prime % factor for factor in range(2, math.isqrt(prime) + 1))
}
"""Where primes that a faulty library made (CVE-2017-15361) leave their product, for each small prime."""
CLOSE_STEPS: Final = 100
P256_BYTES: Final = 32
PSS: Final = padding.PSS(mgf=padding.MGF1(SHA512()), salt_length=64)

SHARED_KEYS: Final = frozenset(
    {
        "34571606cb7a0d71be377e671ddcccae2a169ed7733598214129231cd30c4a3c",  # RFC 9421, test-key-ed25519
        "55f96361b78cbb84f1fc604b0718e82bd91abb46d8fc25ae871b35fbbf8b7974",  # RFC 9421, test-key-ecc-p256
        "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9",  # RFC 8032 and 8037, Ed25519
        "a40f0f2e2974dc76a82df6ffe08ed0d79955c79e7ad0c20d97ae8f9246ade1c1",  # the ES256 example of jwt.io
        "f56c8b01227f62ddbc16eb29a6ac0b310e276760a5e06302fa881a35146f6bc7",  # the RS256 example of jwt.io
        "c73eecd318bd3813f2402a660d8a90010ca35d609d19377d5ee7af200713229f",  # RFC 9421, test-key-rsa
        "72859cbaf21a0b398b1f25712bbed148b1d85a0c6b824176eb306405caa6f0b2",  # RFC 9421, test-key-rsa-pss
        "6fd13c2435a361e7c588cd17f55f5ad3df0177a66c1727a6a200845f4d7ab88c",  # RFC 7515, A.2, RSA
        "2bd1bb0c44a897c30a7aa0991cde38d8062fe441de50da0f46825344f602e827",  # RFC 7515, A.3, P-256
        "ad32320cf6c596d884b05381ba573aba8ddd5749b4de8f4a23a79f9a89ddaeb2",  # RFC 7517, A.2, RSA
        "51b944cdfa544d4c3273aa6bf350625a7dd53bbb6a71723274f538b19a207760",  # RFC 7517, A.2, P-256
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
            if numbers.n % 2 == 0 or math.gcd(numbers.n, SMALL_PRIMES) != 1 or _is_weak(numbers.n):
                raise _refused("This RSA key can be factored.")
            return KeyAlgorithm.RSA, key.key_size
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, ec.SECP256R1):
                raise _refused(f"Of the curves P-256 is taken; this is {key.curve.name}.")
            return KeyAlgorithm.P256, 256
        case Ed25519PublicKey():
            return KeyAlgorithm.ED25519, 256
    raise _refused("Keys are RSA, ECDSA P-256 or Ed25519.")


def _is_weak(modulus: int) -> bool:
    """Whether its primes are of a faulty library's few (CVE-2017-15361), or close together (Fermat's method)."""
    if all(modulus % prime in residues for prime, residues in SUBGROUPS.items()):
        return True
    middle = math.isqrt(modulus - 1) + 1
    gaps = (each * each - modulus for each in range(middle, middle + CLOSE_STEPS))
    return any(math.isqrt(gap) ** 2 == gap for gap in gaps)


def _refused(why: str) -> Invalid:
    return Invalid(why, code="key_refused", field="public_key")
