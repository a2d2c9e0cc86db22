"""Signed requests of devices: a strict profile of HTTP Message Signatures (RFC 9421).

One signature, over at least `@method`, `@path`, `@query` and `content-digest` (SHA-256, RFC 9530), with `created`,
`nonce`, `keyid` and `tag`. The key is named by its fingerprint, its algorithm follows from the key, and the nonce is
the device's counter: a number that only rises (or, to enrol, the nonce that the hub gave). What is not in the profile
is refused rather than ignored.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from django.http import HttpRequest

from .public_keys import PublicKey, verifies

TAG_DEVICE: Final = "hub-device"
TAG_ENROL: Final = "hub-enrol"
MOST_AGE_SECONDS: Final = 300
MOST_COUNTER: Final = 2**63 - 1

NEEDED: Final = frozenset({"@method", "@path", "@query", "content-digest"})
MAY_BE_COVERED: Final = NEEDED | {"@authority", "content-type"}
NAMES: Final = frozenset({"created", "nonce", "keyid", "tag", "alg"})

_LABEL = r"[a-z*][a-z0-9_.*-]{0,31}"
_VALUE = r'(?:"[\x20\x21\x23-\x5b\x5d-\x7e]*"|\d{1,15})'
_INPUT = re.compile(rf'({_LABEL})=(\(("[@a-z-]+"(?: "[@a-z-]+")*)\)((?:;[a-z]+={_VALUE})*))')
_PARAMETER = re.compile(r';([a-z]+)=(?:"([^"]*)"|(\d+))')
_SIGNATURE = re.compile(rf"({_LABEL})=:([A-Za-z0-9+/]{{1,1400}}={{0,2}}):")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_COUNTER = re.compile(r"[1-9][0-9]{0,18}")


class Refusal(Exception):
    """Why a signed request is not believed; `reason` is counted, `message` is for who builds a device."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True)
class Signed:
    """What a request says of its signature, before any of it is believed."""

    keyid: str
    tag: str
    nonce: str
    created: int
    algorithm: str
    base: bytes
    signature: bytes

    @property
    def counter(self) -> int:
        """The nonce as a number that rises. Raises `Refusal`."""
        if not _COUNTER.fullmatch(self.nonce) or int(self.nonce) > MOST_COUNTER:
            raise Refusal("counter", "The nonce of a signed request is the device's counter: a positive whole number.")
        return int(self.nonce)

    def check(self, key: PublicKey, algorithm: str) -> None:
        """Believe it, or raise `Refusal`."""
        if self.algorithm not in ("", algorithm):
            raise Refusal("algorithm", f"This key signs with {algorithm}, and no message chooses another.")
        if not verifies(key, self.signature, self.base):
            raise Refusal("signature", "The signature does not fit the key and this request.")


def read(request: HttpRequest, *, tag: str) -> Signed:
    """Take the signature of a request apart and hold digest and age against the request. Raises `Refusal`."""
    headers = request.META
    params, covered, raw, signature = _parts(headers)
    if params.get("tag") != tag:
        raise Refusal("tag", f"The tag of this signature must be {tag}.")
    created = params.get("created", "")
    if not created.isdecimal() or not params.get("keyid") or not params.get("nonce"):
        raise Refusal("malformed", "The signature names created, nonce, keyid and tag.")
    _check_digest(headers.get("HTTP_CONTENT_DIGEST", ""), request.body)
    if abs(time.time() - int(created)) > MOST_AGE_SECONDS:
        raise Refusal("stale", f"The signature was created more than {MOST_AGE_SECONDS} s away from the hub's time.")
    lines = [f'"{name}": {_component(request, name)}' for name in covered]
    base = "\n".join([*lines, f'"@signature-params": {raw}']).encode()
    return Signed(params["keyid"], params["tag"], params["nonce"], int(created), params.get("alg", ""), base, signature)


def digest_of(body: bytes) -> str:
    """The Content-Digest of a body."""
    return f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"


def _parts(headers: dict[str, str]) -> tuple[dict[str, str], list[str], str, bytes]:
    inputs, signatures = headers.get("HTTP_SIGNATURE_INPUT", ""), headers.get("HTTP_SIGNATURE", "")
    if not inputs or not signatures:
        raise Refusal("unsigned", "This request must be signed (RFC 9421).")
    found, sealed = _INPUT.fullmatch(inputs), _SIGNATURE.fullmatch(signatures)
    if not found or not sealed or found[1] != sealed[1]:
        raise Refusal("malformed", "Signature-Input and Signature do not have the form of this profile.")
    covered = [name.strip('"') for name in found[3].split(" ")]
    pairs = [(name, text or number) for name, text, number in _PARAMETER.findall(found[4])]
    params = dict(pairs)
    if len(params) != len(pairs) or len(set(covered)) != len(covered) or not params.keys() <= NAMES:
        raise Refusal("malformed", "The signature names something twice, or something unknown.")
    if not NEEDED <= set(covered) <= MAY_BE_COVERED:
        raise Refusal("coverage", f"The signature must cover {', '.join(sorted(NEEDED))}.")
    try:
        return params, covered, found[2], base64.b64decode(sealed[2], validate=True)
    except binascii.Error:
        raise Refusal("malformed", "The signature is not base64.") from None


def _check_digest(header: str, body: bytes) -> None:
    found = _DIGEST.fullmatch(header)
    if not found:
        raise Refusal("malformed", "Content-Digest must hold one SHA-256.")
    if not hmac.compare_digest(header, digest_of(body)):
        raise Refusal("digest", "The body is not the one that was signed.")


def _component(request: HttpRequest, name: str) -> str:
    match name:
        case "@method":
            return request.method or ""
        case "@path":
            return request.path
        case "@query":
            return f"?{request.META.get('QUERY_STRING', '')}"
        case "@authority":
            return request.get_host().lower()
        case "content-type":
            return str(request.META.get("CONTENT_TYPE", ""))
    return str(request.META.get("HTTP_CONTENT_DIGEST", ""))
