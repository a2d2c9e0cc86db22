"""Signs requests as a device does, written apart from the agent so that a mistake of one shows in the other."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from itertools import count
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey
COVERED = ("@method", "@path", "@query", "content-digest")
_counter = count(1)


@contextmanager
def later(seconds: float) -> Iterator[None]:
    """The clock of this process, so many seconds ahead."""
    real = time.time
    with patch("time.time", lambda: real() + seconds):
        yield


def pem_of(private: Any) -> str:
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def fingerprint_of(private: Any) -> str:
    return sha256(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def raw_signature(private: PrivateKey, message: bytes) -> bytes:
    match private:
        case rsa.RSAPrivateKey():
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=sha512().digest_size)
            return private.sign(message, pss, hashes.SHA512())
        case ec.EllipticCurvePrivateKey():
            r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
    return private.sign(message)


@dataclass
class Signer:
    """One device's hand. Fields that are set make a signature that is wrong in one way."""

    private: PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    tag: str = "hub-device"
    keyid: str = ""
    age: float = 0
    covered: tuple[str, ...] = COVERED
    alg: str = ""
    label: str = "hub"

    def headers(
        self, method: str, target: str, body: bytes = b"", *, nonce: str = "", signed_body: bytes | None = None
    ) -> dict[str, str]:
        path, _, query = target.partition("?")
        digest = f"sha-256=:{base64.b64encode(sha256(body if signed_body is None else signed_body).digest()).decode()}:"
        values = {
            "@method": method,
            "@path": path,
            "@query": f"?{query}",
            "content-digest": digest,
            "@authority": "testserver",
            "content-type": "application/json",
        }
        names = " ".join(f'"{name}"' for name in self.covered)
        params = f'({names});created={int(time.time() - self.age)};nonce="{nonce or next(_counter)}"'
        params += f';keyid="{self.keyid or fingerprint_of(self.private)}"'
        params += f';alg="{self.alg}"' if self.alg else ""
        params += f';tag="{self.tag}"'
        lines = [f'"{name}": {values[name]}' for name in self.covered] + [f'"@signature-params": {params}']
        signature = raw_signature(self.private, "\n".join(lines).encode())
        return {
            "Content-Digest": digest,
            "Signature-Input": f"{self.label}={params}",
            "Signature": f"{self.label}=:{base64.b64encode(signature).decode()}:",
        }

    def send(self, client: Client, method: str, target: str, data: Any = None, **options: Any) -> Any:
        """Send a signed JSON request."""
        body = b"" if data is None else json.dumps(data).encode()
        headers = self.headers(method, target, body, **options)
        return client.generic(method, target, body, content_type="application/json", headers=headers)
