"""The publisher's signature: each way in which it does not hold is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from devices.packaging import signatures
from devices.packaging.signatures import SignatureError, Statement, parse, read_public_key, sign, verify

STATEMENT = Statement("camera", "1.2", "a" * 64, 1000, ["pi4"])
EDWARDS = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())


def pem(key: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text: bytes = key.public_bytes(serialization.Encoding.PEM, form)
    return text.decode()


@pytest.mark.parametrize("key", [EDWARDS, P256], ids=["ed25519", "p256"])
def test_a_signature_holds(key: Any) -> None:
    signed = parse(json.dumps(sign(STATEMENT, key)))

    assert verify(signed, [read_public_key(pem(key.public_key()))]) == STATEMENT


@pytest.mark.parametrize("key", [EDWARDS, P256], ids=["ed25519", "p256"])
@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"version": "9.9"}, {"sha256": "b" * 64}, {"size_bytes": 1}, {"device_types": []}],
    ids=lambda change: next(iter(change)),
)
def test_no_word_of_it_can_be_changed(key: Any, change: dict[str, Any]) -> None:
    signed = sign(STATEMENT, key)
    signed["statement"] = json.dumps({**json.loads(signed["statement"]), **change})

    with pytest.raises(SignatureError, match="does not hold"):
        verify(signed, [key.public_key()])


def test_a_stranger_and_a_retired_key_sign_nothing() -> None:
    signed = sign(STATEMENT, EDWARDS)

    with pytest.raises(SignatureError, match="not one of the publishers"):
        verify(signed, [P256.public_key()])
    with pytest.raises(SignatureError, match="not one of the publishers"):
        verify(signed, [])


def test_a_stranger_who_names_a_publishers_key_is_refused() -> None:
    signed = sign(STATEMENT, ed25519.Ed25519PrivateKey.generate())
    signed["key"] = signatures.fingerprint(EDWARDS.public_key())

    with pytest.raises(SignatureError, match="does not hold"):
        verify(signed, [EDWARDS.public_key()])


@pytest.mark.parametrize("algorithm", ["none", "", "hmac-sha256", signatures.ECDSA])
def test_the_algorithm_is_the_keys(algorithm: str) -> None:
    with pytest.raises(SignatureError, match="signs by"):
        verify({**sign(STATEMENT, EDWARDS), "algorithm": algorithm}, [EDWARDS.public_key()])


@pytest.mark.parametrize("raw", ["", "????", "AAAA", "A" * 88])
def test_a_signature_that_is_none(raw: str) -> None:
    for key in (EDWARDS, P256):
        with pytest.raises(SignatureError, match="does not hold"):
            verify({**sign(STATEMENT, key), "signature": raw}, [key.public_key()])


def test_a_signature_over_something_else_is_none() -> None:
    """The same key may sign other texts; without the context's line such a one would pass."""
    text = STATEMENT.as_text()
    other = {**sign(STATEMENT, EDWARDS), "signature": base64.b64encode(EDWARDS.sign(text.encode())).decode()}

    with pytest.raises(SignatureError, match="does not hold"):
        verify(other, [EDWARDS.public_key()])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"statement": 1}',
        "[" * 70_000,
        "x" * 70_000,
        '{"statement": "a", "algorithm": "b", "key": "c"}',
    ],
)
def test_what_is_no_signature_file_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        parse(text)


@pytest.mark.parametrize(
    "statement",
    ["x", "[]", '{"format": "other"}', '{"format": "kutanga-bundle-1", "name": "a"}', "[" * 30_000],
)
def test_a_signed_statement_must_have_its_form(statement: str) -> None:
    raw = EDWARDS.sign(signatures.CONTEXT + statement.encode())
    signed = {**sign(STATEMENT, EDWARDS), "statement": statement, "signature": base64.b64encode(raw).decode()}

    with pytest.raises(SignatureError, match="statement"):
        verify(signed, [EDWARDS.public_key()])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        pem(rsa.generate_private_key(65537, 2048).public_key()),
        pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
    ],
    ids=["nothing", "empty", "rsa", "p384"],
)
def test_keys_of_other_kinds_are_no_publishers(text: str) -> None:
    with pytest.raises(SignatureError):
        read_public_key(text)
