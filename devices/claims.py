"""Who a request of a device comes from: its signature, and then one UPDATE that takes its counter or refuses it.

The UPDATE asks everything that can change: that the counter is higher than any before, that the key still signs, that
the device is accepted. A replay therefore fails without a store of nonces, and of two requests at once with one counter
one is refused. What a key is never changes, so each process keeps the keys it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from prometheus_client import Counter

from hub.api import throttles
from hub.api.throttles import Rate
from hub.exceptions import HubError, TooMany
from hub.postgres.prepared import prepared_cursor

from . import public_keys, signatures
from .choices import DeviceStatus, KeyState
from .models import DeviceKey
from .signatures import Refusal, Signed

MOST_KEPT: Final = 20_000
refused_total = Counter("device_requests_refused", "Requests of devices that were not believed.", ["reason"])

_CLAIM = """
    UPDATE devices_devicebeat beat SET counter = %s, last_seen_at = now(){more}
    FROM devices_device device, devices_devicekey key
    WHERE beat.device_id = %s AND beat.counter < %s AND device.id = beat.device_id AND device.status = 'accepted'
        AND key.id = %s AND key.device_id = device.id AND key.state IN ('active', 'next', 'retiring')
        AND (key.retires_at IS NULL OR key.retires_at > now())
    RETURNING key.state{wanted}
"""
_NOT_NOW: Final = {
    DeviceStatus.PENDING: "Nobody has accepted this device yet.",
    DeviceStatus.PREAUTHORISED: "This device has not enrolled yet.",
    DeviceStatus.REJECTED: "This device has been rejected.",
    DeviceStatus.SUSPENDED: "This device is suspended.",
    DeviceStatus.DECOMMISSIONED: "This device has been decommissioned.",
}


class DeviceRefused(HubError):
    """A request that is not believed (401), or of a device that the hub does not deal with now (403)."""

    code = "device_refused"
    status = 401

    def __init__(self, reason: str, message: str, *, status: int = 401) -> None:
        super().__init__(message, code=reason)
        self.status = status
        refused_total.labels(reason).inc()


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What never changes of a key."""

    id: UUID
    device_id: UUID
    algorithm: str
    key: public_keys.PublicKey


@dataclass(frozen=True)
class Claimed:
    """A request that is believed. `row` holds what was asked to be returned."""

    device_id: UUID
    key_id: UUID
    counter: int
    row: tuple[Any, ...] = ()


_known: dict[str, KnownKey] = {}


def check(request: HttpRequest, device_id: UUID | None = None) -> tuple[KnownKey, Signed]:
    """Whose request this is, by its signature alone. Raises `DeviceRefused`.

    The path may name the device; a request to another one's path is refused as if there were none.
    """
    try:
        signed = signatures.read(request, tag=signatures.TAG_DEVICE)
        known = _find(signed.keyid)
        signed.check(known.key, known.algorithm)
        _ = signed.counter
    except Refusal as refusal:
        raise DeviceRefused(refusal.reason, refusal.message) from None
    if device_id is not None and known.device_id != device_id:
        raise DeviceRefused("other_device", "There is no such device.", status=404)
    return known, signed


def count_request(device_id: UUID) -> Rate | None:
    """Count a request of a device that has signed it. Raises `TooMany`."""
    rate = throttles.count("device", str(device_id))
    if rate is not None and rate.is_over:
        raise TooMany("This device asks too often.", retry_after=rate.reset)
    return rate


def take(known: KnownKey, signed: Signed, *, more: str = "", values: Sequence[Any] = (), wanted: str = "") -> Claimed:
    """Take the counter, with more columns of the heartbeat row in the same UPDATE. Raises `DeviceRefused`.

    `more` and `wanted` are our own SQL: `, column = %s` and `, beat.column`.
    """
    sql = _CLAIM.format(more=more, wanted=wanted)
    with prepared_cursor() as cursor:
        cursor.execute(sql, [signed.counter, *values, known.device_id, signed.counter, known.id])
        row = cursor.fetchone()
    if row is None:
        raise explain(known.id, signed.counter)
    if row[0] == KeyState.NEXT:
        from .services.keys import promote_key

        promote_key(known.id)
    return Claimed(known.device_id, known.id, signed.counter, row[1:])


def claim(request: HttpRequest, device_id: UUID | None = None) -> Claimed:
    """Check a signed request and take its counter. Raises `DeviceRefused`."""
    return take(*check(request, device_id))


def explain(key_id: UUID, counter: int | None) -> DeviceRefused:
    """Why nothing was taken, found out by a second look."""
    key = DeviceKey.objects.select_related("device__beat").filter(pk=key_id).first()
    if key is None:
        _known.clear()
        return DeviceRefused("unknown_key", "No device has this key.")
    if key.device.status != DeviceStatus.ACCEPTED:
        status = DeviceStatus(key.device.status)
        return DeviceRefused(f"device_{status.value}", _NOT_NOW[status], status=403)
    if not _is_usable(key):
        return DeviceRefused("retired_key", "This key of the device is not taken any more.")
    if counter is not None and counter <= key.device.beat.counter:
        return DeviceRefused("replayed", "The counter must be higher than that of every request before.")
    return DeviceRefused("not_now", "This cannot be taken right now. Try again.", status=409)


def _is_usable(key: DeviceKey) -> bool:
    return DeviceKey.objects.usable().filter(pk=key.pk).exists()


def _find(fingerprint: str) -> KnownKey:
    """The key of this fingerprint, from what this process has seen or from the database. Raises `Refusal`."""
    found = _known.get(fingerprint)
    if found is None:
        row = DeviceKey.objects.filter(fingerprint=fingerprint).first() if len(fingerprint) == 64 else None
        if row is None:
            raise Refusal("unknown_key", "No device has this key.")
        found = KnownKey(row.pk, row.device_id, row.algorithm, public_keys.read(row.public_key).key)
        if len(_known) >= MOST_KEPT:
            _known.clear()
        _known[fingerprint] = found
    return found


def forget_known() -> None:
    """Forget the keys that this process has seen; only speed depends on them."""
    _known.clear()
