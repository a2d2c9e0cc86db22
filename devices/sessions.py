"""Short tokens of devices: an assertion signed with the device's key (RFC 7523) is traded for one, once.

Tokens read; whatever changes something is signed request by request. A token is good as long as its key is, and its
device accepted, so revoking a key or suspending a device ends it at once.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connection
from django.utils import timezone
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from .choices import DeviceStatus, KeyAlgorithm
from .claims import DeviceRefused, explain
from .models import Device, DeviceKey, SpentAssertion

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ISSUER: Final = "kutanga-hub"
USE: Final = "device"
MOST_LIFE_SECONDS: Final = 300
LEEWAY_SECONDS: Final = 60
JWT_ALGORITHMS: Final = {
    KeyAlgorithm.RSA: ["PS512"],
    KeyAlgorithm.P256: ["ES256"],
    KeyAlgorithm.ED25519: ["Ed25519", "EdDSA"],  # the name of RFC 9864, and the one that libraries had before
}
_KEYS: Final[dict[KeyAlgorithm, Any]] = {
    KeyAlgorithm.RSA: RSAKey,
    KeyAlgorithm.P256: ECKey,
    KeyAlgorithm.ED25519: OKPKey,
}


def trade(assertion: str, *, audiences: Collection[str]) -> tuple[str, int]:
    """A token and its life in seconds, for an assertion made for us and never used. Raises `DeviceRefused`."""
    key = _key_named(assertion)
    claims = _believed(assertion, key, audiences)
    if key.device.status != DeviceStatus.ACCEPTED or not DeviceKey.objects.usable().filter(pk=key.pk).exists():
        raise explain(key.pk, None)
    if not _spend(key, claims["jti"], datetime.fromtimestamp(claims["exp"], tz=UTC)):
        raise DeviceRefused("replayed", "This assertion has been used.")
    return _sign(key), settings.HUB_DEVICE_TOKEN_MINUTES * 60


def device_of(token: str) -> Device | None:
    """Whose token this is; None when it is not valid, or not any more. One query."""
    try:
        claims = jwt.decode(token, _ring(tuple(settings.HUB_KEY_RING.items())), algorithms=["HS256"]).claims
        jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER}, use={"essential": True, "value": USE}, exp={"essential": True}
        ).validate(claims)
        key_id, device_id = UUID(claims["key"]), UUID(claims["sub"])
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    key = DeviceKey.objects.usable().filter(pk=key_id, device_id=device_id, device__status=DeviceStatus.ACCEPTED)
    found = key.select_related("device__region", "device__beat").first()
    return found.device if found else None


def forget_spent() -> int:
    """Delete assertions that would be refused for their age by now."""
    count, _ = SpentAssertion.objects.filter(expires_at__lt=timezone.now()).delete()
    return count


def _key_named(assertion: str) -> DeviceKey:
    """The key that an assertion names in its header."""
    try:
        fingerprint = jws.extract_compact(assertion.encode()).headers().get("kid")
    except (JoseError, ValueError, TypeError):
        raise _malformed() from None
    key = DeviceKey.objects.select_related("device").filter(fingerprint=str(fingerprint)).first()
    if key is None:
        raise DeviceRefused("unknown_key", "No device has this key.")
    return key


def _believed(assertion: str, key: DeviceKey, audiences: Collection[str]) -> dict[str, Any]:
    """The claims of an assertion that this key has signed, for us, for a few minutes. Raises `DeviceRefused`."""
    device, now = str(key.device_id), int(time.time())
    rules = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": device},
        sub={"essential": True, "value": device},
        aud={"essential": True, "values": list(audiences)},
        exp={"essential": True},
        jti={"essential": True},
    )
    algorithm = KeyAlgorithm(key.algorithm)
    try:
        public = _KEYS[algorithm].import_key(key.public_key)
        claims = jwt.decode(assertion, public, algorithms=JWT_ALGORITHMS[algorithm]).claims
    except (JoseError, ValueError, TypeError):
        raise DeviceRefused("signature", "The assertion is not signed with this key as this key signs.") from None
    try:
        rules.validate(claims)
    except (JoseError, ValueError, TypeError):
        raise DeviceRefused("assertion", "The assertion is stale, or not made by this device for this hub.") from None
    jti, exp = claims["jti"], claims["exp"]
    if not isinstance(jti, str) or not 8 <= len(jti) <= 128 or not isinstance(exp, int):
        raise _malformed()
    if exp > now + MOST_LIFE_SECONDS + LEEWAY_SECONDS:
        raise DeviceRefused("assertion", f"An assertion lives {MOST_LIFE_SECONDS} s at most.")
    return dict(claims)


def _spend(key: DeviceKey, jti: str, expires_at: datetime) -> bool:
    """Use an assertion; of two uses at once one wins."""
    sql = """
        INSERT INTO devices_spentassertion (key_id, jti, expires_at) VALUES (%s, %s, %s)
        ON CONFLICT DO NOTHING RETURNING id
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [key.pk, jti, expires_at + timedelta(seconds=LEEWAY_SECONDS)])
        return cursor.fetchone() is not None


def _sign(key: DeviceKey) -> str:
    newest = _ring(tuple(settings.HUB_KEY_RING.items())).keys[0]
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "use": USE,
        "sub": str(key.device_id),
        "key": str(key.pk),
        "iat": now,
        "exp": now + settings.HUB_DEVICE_TOKEN_MINUTES * 60,
    }
    return jwt.encode({"alg": "HS256", "kid": newest.kid}, claims, newest)


def _malformed() -> DeviceRefused:
    return DeviceRefused("malformed", "This is not an assertion (RFC 7523): a JWT with kid, iss, sub, aud, exp, jti.")


@lru_cache(maxsize=4)
def _ring(ring: tuple[tuple[str, bytes], ...]) -> KeySet:
    """Keys of their own, so that no token of a person is one of a device."""
    return KeySet([OctKey.import_key(_derive(key), {"kid": key_id}) for key_id, key in ring])


def _derive(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"hub device token").derive(key)
