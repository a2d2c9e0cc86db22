"""Secrets at rest: AES-256-GCM under a rotating key ring, and generators for credentials.

`HUB_SECRET_KEYS` is `id:key[,id:key…]`, newest first, each key 32 bytes in URL-safe base64. A sealed value reads
`k<id>.<base64 of nonce and ciphertext>`; the id and the purpose given by the caller are authenticated with it, so a
value copied into another column does not open. Where `hub.vault` is configured, Vault's transit engine seals instead;
such a value reads `v.<Vault's ciphertext>`, and what the ring has sealed still opens.
"""

from __future__ import annotations

import base64
import os
import secrets
import string
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models
from django.db.models.query_utils import DeferredAttribute

from . import vault
from .exceptions import SecretError as SecretError

ALPHANUMERIC = string.ascii_letters + string.digits
NONCE_BYTES = 12


def parse_keys(text: str) -> dict[str, bytes]:
    """Read a key ring, newest first. Raises ValueError with a sentence for the person who configures."""
    ring: dict[str, bytes] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key_id, colon, encoded = item.partition(":")
        if not colon or not key_id.isalnum():
            raise ValueError("each key must read id:base64")
        try:
            key = base64.b64decode(encoded.strip(), altchars=b"-_", validate=True)
        except ValueError:
            raise ValueError(f"key {key_id} is not base64") from None
        if len(key) != 32:
            raise ValueError(f"key {key_id} must be 32 bytes")
        if key_id in ring:
            raise ValueError(f"key {key_id} is given twice")
        ring[key_id] = key
    if not ring:
        raise ValueError("at least one key is needed")
    return ring


def seal(plain: str, *, purpose: str) -> str:
    """Encrypt under the newest key. Raises `hub.vault.VaultAway`."""
    if settings.HUB_VAULT.seals:
        return vault.transit(settings.HUB_VAULT).seal(plain, purpose)
    key_id, key = next(iter(settings.HUB_KEY_RING.items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plain.encode(), _associated(key_id, purpose))
    return f"k{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, purpose: str) -> str:
    """Decrypt. Raises `SecretError`."""
    if sealed.startswith(vault.HEAD) and settings.HUB_VAULT.seals:
        return vault.transit(settings.HUB_VAULT).unseal(sealed, purpose)
    head, _, body = sealed.partition(".")
    key = settings.HUB_KEY_RING.get(head.removeprefix("k"))
    if key is None:
        raise SecretError(f"There is no key for {head or 'this value'} in HUB_SECRET_KEYS.")
    try:
        raw = base64.urlsafe_b64decode(body)
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _associated(head[1:], purpose)).decode()
    except (ValueError, InvalidTag):
        raise SecretError("The value is damaged or was sealed for another purpose.") from None


def newest() -> str:
    """How a value that is sealed now begins."""
    if settings.HUB_VAULT.seals:
        return vault.transit(settings.HUB_VAULT).newest()
    return f"k{next(iter(settings.HUB_KEY_RING))}."


def new_password(length: int = 12) -> str:
    """Letters and digits, uniformly chosen: 12 characters carry 71 bits (log2(62) × 12)."""
    even = 256 - 256 % len(ALPHANUMERIC)  # bytes from here on would make the first characters likelier
    chosen = ""
    while len(chosen) < length:
        chosen += "".join(
            [ALPHANUMERIC[byte % len(ALPHANUMERIC)] for byte in secrets.token_bytes(length) if byte < even]
        )
    return chosen[:length]


def _associated(key_id: str, purpose: str) -> bytes:
    return f"{key_id}|{purpose}".encode()


class SealingAttribute(DeferredAttribute):
    """Seals plain text when it is assigned, so that an unsaved instance shows dots as well."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = self.field.to_python(value)


class EncryptedTextField(models.TextField):
    """Text sealed in the database and opened only on request: the attribute holds a `Sealed`, never the plain text.

    Lists, serializers, templates and logs that touch the attribute by accident show dots. Forms made from a model leave
    it out, because they would write the dots back; a service sets it.
    """

    descriptor_class = SealingAttribute
    # What django-stubs takes the attribute for; TextField says str.
    _pyi_private_set_type: str | Sealed  # type: ignore[assignment]
    _pyi_private_get_type: Sealed  # type: ignore[assignment]

    def __init__(self, *args: Any, purpose: str, **kwargs: Any) -> None:
        self.purpose = purpose
        super().__init__(*args, **{**kwargs, "editable": False})

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["editable"]
        return name, path, args, {**kwargs, "purpose": self.purpose}

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | None:
        return None if value is None else Sealed(value, self.purpose)

    def to_python(self, value: Any) -> Any:
        """Plain text becomes a `Sealed`; a `Sealed`, None and expressions stay what they are."""
        if not isinstance(value, str):
            return value
        return Sealed(seal(value, purpose=self.purpose) if value else "", self.purpose)

    def get_prep_value(self, value: Any) -> Any:
        value = self.to_python(value)
        return value.sealed if isinstance(value, Sealed) else value


class Sealed:
    """An encrypted value that shows dots until `reveal()` is called."""

    __slots__ = ("purpose", "sealed")

    def __init__(self, sealed: str, purpose: str) -> None:
        self.sealed = sealed
        self.purpose = purpose

    def reveal(self) -> str:
        """The plain text. Raises `SecretError`."""
        return unseal(self.sealed, purpose=self.purpose) if self.sealed else ""

    def __bool__(self) -> bool:
        return bool(self.sealed)

    def __str__(self) -> str:
        return "••••••••" if self.sealed else ""

    __repr__ = __str__
