"""A publisher's word on a bundle: which file it is, what it is called and what it is for.

The statement is small, so it is signed and not the file: whoever signs needs no copy of our code, and the hub knows
name, version and digest before a byte arrives. A signature file is JSON:

    {"statement": "<JSON text, exactly as it was signed>", "algorithm": "ed25519", "key": "<fingerprint>",
     "signature": "<base64>"}
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

ED25519: Final = "ed25519"
ECDSA: Final = "ecdsa-p256-sha256"
FORMAT: Final = "kutanga-bundle-1"
CONTEXT: Final = b"kutanga bundle statement 1\n"  # so that a signature made for anything else is none for a bundle
LONGEST: Final = 65_536

Public: TypeAlias = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
Private: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


class SignatureError(Exception):
    """The signature does not hold, in words for whoever uploads."""


@dataclass(frozen=True)
class Statement:
    """What a publisher says of a file."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    device_types: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        """The text that is signed."""
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "version": self.version,
                "sha256": self.sha256,
                "size_bytes": self.size_bytes,
                "device_types": sorted(self.device_types),
            },
            sort_keys=True,
            separators=(",", ":"),
        )


def read_public_key(pem: str) -> Public:
    """A publisher's public key: Ed25519 or P-256."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SignatureError("This is not a public key in PEM form.") from None
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, ec.SECP256R1):
        raise SignatureError("Of the curves, only P-256 and Ed25519 are taken.")
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise SignatureError("A publisher's key is Ed25519 or P-256.")
    return key


def fingerprint(key: Public) -> str:
    """SHA-256 of the key in DER form."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def algorithm_of(key: Public) -> str:
    return ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else ECDSA


def sign(statement: Statement, key: Private) -> dict[str, str]:
    """The signature file, as a dictionary."""
    text = statement.as_text()
    signed = CONTEXT + text.encode()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.sign(signed)
    else:
        raw = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    public = key.public_key()
    return {
        "statement": text,
        "algorithm": algorithm_of(public),
        "key": fingerprint(public),
        "signature": base64.b64encode(raw).decode(),
    }


def parse(text: str | bytes) -> dict[str, str]:
    """Read a signature file. Says nothing about whether it holds."""
    if len(text) > LONGEST:
        raise SignatureError("The signature file is too long.")
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        raise SignatureError("The signature file is not JSON.") from None
    names = ("statement", "algorithm", "key", "signature")
    if not isinstance(read, dict) or not all(isinstance(read.get(name), str) for name in names):
        raise SignatureError(f"A signature file has the texts {', '.join(names)}.")
    return {name: read[name] for name in names}


def verify(signed: Mapping[str, str], keys: Iterable[Public]) -> Statement:
    """The statement, if one of the keys has signed it; the algorithm is the key's own, never the message's."""
    key = next((each for each in keys if fingerprint(each) == signed["key"]), None)
    if key is None:
        raise SignatureError("It is signed by a key that is not one of the publishers'.")
    if signed["algorithm"] != algorithm_of(key):
        raise SignatureError(f"This publisher's key signs by {algorithm_of(key)}.")
    try:
        raw = base64.b64decode(signed["signature"], validate=True)
        text = CONTEXT + signed["statement"].encode()
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(raw, text)
        else:
            key.verify(raw, text, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        raise SignatureError("The signature does not hold.") from None
    return _statement(signed["statement"])


def _statement(text: str) -> Statement:
    try:
        read: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise SignatureError("The statement is not JSON.") from None
    kinds: dict[str, type] = {"name": str, "version": str, "sha256": str, "size_bytes": int, "device_types": list}
    if not isinstance(read, dict) or read.get("format") != FORMAT:
        raise SignatureError(f"The statement's format is not {FORMAT}.")
    wrong = [name for name, kind in kinds.items() if type(read.get(name)) is not kind]
    if wrong or not all(isinstance(each, str) for each in read["device_types"]):
        raise SignatureError(f"The statement lacks {', '.join(wrong) or 'device types as texts'}.")
    return Statement(**{name: read[name] for name in kinds})
