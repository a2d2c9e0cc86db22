"""The device's keys: made here, encrypted at rest, never sent."""

from __future__ import annotations

import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from .state import State

KINDS = ("ed25519", "p256", "rsa")
PRESENT, NEXT = "key.pem", "key.next.pem"


class Key:
    """One key pair."""

    def __init__(self, private: Any) -> None:
        self.private = private

    @classmethod
    def make(cls, kind: str) -> Key:
        if kind == "rsa":
            return cls(rsa.generate_private_key(65537, 3072))
        return cls(ec.generate_private_key(ec.SECP256R1()) if kind == "p256" else Ed25519PrivateKey.generate())

    @property
    def public_pem(self) -> str:
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def fingerprint(self) -> str:
        der = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(der).hexdigest()

    @property
    def jwt_algorithm(self) -> str:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return "PS512"
        return "ES256" if isinstance(self.private, ec.EllipticCurvePrivateKey) else "Ed25519"

    def sign(self, message: bytes) -> bytes:
        """Sign as this kind of key signs: PSS with SHA-512, raw r and s, or Ed25519."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
            return self.private.sign(message, pss, hashes.SHA512())
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        signature: bytes = self.private.sign(message)
        return signature


class KeyStore:
    """The keys in the state directory."""

    def __init__(self, state: State, passphrase_file: Path | None = None) -> None:
        self.state, self.passphrase_file = state, passphrase_file

    def load(self, name: str = PRESENT) -> Key | None:
        content = self.state.read(name)
        return Key(load_pem_private_key(content, self._passphrase())) if content else None

    def save(self, key: Key, name: str = PRESENT) -> None:
        encryption = BestAvailableEncryption(self._passphrase())
        self.state.write(name, key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))

    @property
    def changed_at(self) -> int:
        """When the key was last put there, in nanoseconds; 0 when there is none."""
        path = self.state.place / PRESENT
        return path.stat().st_mtime_ns if path.exists() else 0

    def promote(self) -> None:
        """The next key is the key from now on."""
        (self.state.place / NEXT).replace(self.state.place / PRESENT)

    def _passphrase(self) -> bytes:
        """From a credential of systemd, a file, or one that is made beside the key."""
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        given = self.passphrase_file or (Path(credentials) / "passphrase" if credentials else None)
        if given is not None and given.exists():
            return given.read_bytes().strip()
        if self.passphrase_file is not None:
            raise SystemExit(f"There is no passphrase at {self.passphrase_file}.")
        found = self.state.read("passphrase")
        if found is None:
            found = secrets.token_urlsafe(32).encode()
            self.state.write("passphrase", found)
        return found
