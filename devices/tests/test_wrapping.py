"""Content keys for one device each, by every kind of key."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from devices.packaging.wrapping import ECDH_P256, WrapError, can_wrap_for, unwrap, wrap
from hub.sealing import new_key

BUNDLE = b"bundle 1"
RSA = rsa.generate_private_key(65537, 2048)
MAKERS: dict[str, Any] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "x25519": x25519.X25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_key_reaches_its_device_and_no_other(kind: str) -> None:
    content_key, mine, other = new_key(), MAKERS[kind](), MAKERS[kind]()

    wrapped = wrap(content_key, mine.public_key(), bundle=BUNDLE)

    assert unwrap(wrapped, mine, bundle=BUNDLE) == content_key
    with pytest.raises(WrapError):
        unwrap(wrapped, other, bundle=BUNDLE)


@pytest.mark.parametrize("kind", ["p256", "x25519"])
def test_it_is_bound_to_the_bundle(kind: str) -> None:
    key = MAKERS[kind]()

    with pytest.raises(WrapError):
        unwrap(wrap(new_key(), key.public_key(), bundle=BUNDLE), key, bundle=b"bundle 2")


def test_the_algorithm_is_the_keys_and_not_the_messages() -> None:
    wrapped = wrap(new_key(), RSA.public_key(), bundle=BUNDLE)

    with pytest.raises(WrapError, match="another way"):
        unwrap({**wrapped, "algorithm": ECDH_P256}, RSA, bundle=BUNDLE)


@pytest.mark.parametrize("change", [{"key": "???"}, {"key": ""}, {"ephemeral": "AAAA"}, {"ephemeral": ""}])
def test_what_is_damaged_is_refused(change: dict[str, str]) -> None:
    key = MAKERS["x25519"]()

    with pytest.raises(WrapError):
        unwrap({**wrap(new_key(), key.public_key(), bundle=BUNDLE), **change}, key, bundle=BUNDLE)


def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    key = MAKERS["p256"]()
    wrapped = wrap(new_key(), key.public_key(), bundle=BUNDLE)

    with pytest.raises(WrapError):
        unwrap({**wrapped, "ephemeral": "BAAA" + wrapped["ephemeral"][4:]}, key, bundle=BUNDLE)


def test_keys_that_only_sign_take_none() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()

    assert not can_wrap_for(key)
    assert not can_wrap_for(ec.generate_private_key(ec.SECP384R1()).public_key())
    with pytest.raises(WrapError):
        wrap(new_key(), key, bundle=BUNDLE)
