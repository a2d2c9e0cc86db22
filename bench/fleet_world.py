"""A fleet to measure: rows for so many devices, and keys for those that really sign."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import connection

from devices.choices import KeyAlgorithm, KeyState
from devices.models import DeviceKey
from hub.nodes.models import Region

from ._fleet_load import Signing

PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
TYPES = ("gateway", "camera", "sensor", "kiosk")
RSA_KEYS = 20  # a key takes a tenth of a second to make

_DEVICES = """
    INSERT INTO devices_device (id, name, identity, identity_hash, region_id, device_type, tags, status, status_reason,
        hardware, notes, registered_at, accepted_at)
    SELECT gen_random_uuid(), %(name)s || '-' || lpad(n::text, 6, '0'), jsonb_build_object('serial', %(name)s || n),
        encode(sha256((%(name)s || n)::bytea), 'hex'), %(region)s, (%(types)s::text[])[1 + n %% 4],
        ARRAY['site-' || n %% 100]::varchar[], CASE WHEN n %% 500 = 0 THEN 'pending' ELSE 'accepted' END, '',
        '{"total_memory_mb": 4096}', '', now() - n * interval '1 second', now()
    FROM generate_series(1, %(count)s) AS n
"""
_BEATS = """
    INSERT INTO devices_devicebeat (device_id, counter, last_seen_at, interval_seconds, health, agent_version,
        bundle_version, memory_mb, cpu_percent, log_sequence, noted)
    SELECT id, 0, now() - (random() * %(silence)s) * interval '1 second', 60,
        CASE WHEN random() < 0.02 THEN 'degraded' ELSE 'healthy' END, '0.1.0', '1.' || (random() * 9)::int, 700, 12, 0,
        '{}'
    FROM devices_device device WHERE NOT EXISTS (SELECT FROM devices_devicebeat beat WHERE beat.device_id = device.id)
"""


def add_devices(count: int, *, name: str = "", silence_seconds: int = 120) -> list[uuid.UUID]:
    """Make devices that were heard of within so many seconds; answers their ids."""
    name = name or f"edge-{uuid.uuid4().hex[:6]}"
    region, _ = Region.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"name": name, "count": count, "region": region.pk, "types": list(TYPES)}
        cursor.execute(_DEVICES, values)
        cursor.execute(_BEATS, {"silence": silence_seconds})
        cursor.execute("VACUUM ANALYZE devices_device, devices_devicebeat")
        cursor.execute("SELECT id FROM devices_device WHERE name LIKE %s ORDER BY name", [f"{name}-%"])
        return [id for (id,) in cursor.fetchall()]


def remove_devices(ids: list[uuid.UUID]) -> None:
    """Take devices away that nothing was done with."""
    with connection.cursor() as cursor:
        for table, column in (("devices_devicebeat", "device_id"), ("devices_device", "id")):
            cursor.execute(f"DELETE FROM {table} WHERE {column} = ANY(%s)", [ids])  # noqa: S608 - named above


def give_keys(ids: list[uuid.UUID]) -> list[Signing]:
    """Half Ed25519, half P-256, and some RSA among them; the devices are accepted."""
    rows, found = [], []
    for id, (algorithm, private) in zip(ids, _keys(len(ids)), strict=True):
        public = private.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        fingerprint = sha256(der).hexdigest()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        rows.append(
            DeviceKey(
                device_id=id,
                fingerprint=fingerprint,
                algorithm=algorithm,
                bits=2048 if algorithm == KeyAlgorithm.RSA else 256,
                public_key=pem,
                state=KeyState.ACTIVE,
            )
        )
        secret = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        found.append(Signing(str(id), fingerprint, secret))
    DeviceKey.objects.bulk_create(rows, batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_device SET status = 'accepted' WHERE id = ANY(%s)", [ids])
    return found


def _keys(count: int) -> Iterator[tuple[KeyAlgorithm, PrivateKey]]:
    heavy = set(random.sample(range(count), min(RSA_KEYS, count // 10)))
    for number in range(count):
        if number in heavy:
            yield KeyAlgorithm.RSA, rsa.generate_private_key(65537, 2048)
        elif number % 2:
            yield KeyAlgorithm.P256, ec.generate_private_key(ec.SECP256R1())
        else:
            yield KeyAlgorithm.ED25519, Ed25519PrivateKey.generate()
