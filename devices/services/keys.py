"""Keys of a device that is known: rotation by the device itself, and keys that somebody has to decide about."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.actors import DeviceActor
from accounts.permissions import require
from hub.exceptions import Conflict, Invalid
from monitoring import events
from monitoring.models import Event

from .. import public_keys
from ..choices import KEY_TRANSITIONS, KeyState
from ..models import Device, DeviceBeat, DeviceKey, DeviceSealingKey
from .life import check_seen, lock

if TYPE_CHECKING:
    from accounts.actors import Asker

ROTATION: Final = "hub-rotate-v1"


def rotation_message(device_id: UUID, old: str, new: str) -> bytes:
    """What the new key signs: for which device it takes over, and from which key."""
    return "\n".join([ROTATION, str(device_id), old, new]).encode()


def rotate_key(device: Device, *, public_key: str, proof: str, signed_by: UUID) -> DeviceKey:
    """Add the next key of a device, asked by a request that its present key has signed.

    `proof` is the new key's own signature. Both keys are taken until the new one has been used, which retires the old
    one after the overlap. The same request again changes nothing; another key replaces one that was never used.
    """
    facts = public_keys.read(public_key)
    with transaction.atomic():
        locked = lock(device)
        present = DeviceKey.objects.get(pk=signed_by)
        message = rotation_message(locked.pk, present.fingerprint, facts.fingerprint)
        if not public_keys.verifies(facts.key, _decoded(proof), message):
            raise Invalid("The new key has not signed that it takes over.", code="no_proof", field="proof")
        known = DeviceKey.objects.filter(fingerprint=facts.fingerprint).first()
        if known is not None:
            if known.device_id == locked.pk and known.state == KeyState.NEXT:
                return known
            raise Conflict("This key is known already. Make a new one.", code="key_known", field="public_key")
        if present.state == KeyState.RETIRING:
            raise Conflict("A key that is being retired cannot name its successor.", code="key_retiring")
        _revoke(locked, KeyState.NEXT, "Replaced before it was used.")
        key = _add(locked, facts, KeyState.NEXT)
        actor = DeviceActor(str(locked.pk), locked.name)
        audit.record(actor, "device.key_rotated", locked, fingerprint=key.fingerprint, algorithm=key.algorithm)
    return key


def promote_key(key_id: UUID) -> None:
    """The first use of the next key: it is the key now, and the old one has its overlap."""
    with transaction.atomic():
        key = DeviceKey.objects.select_related("device").get(pk=key_id)
        device = lock(key.device)
        key.refresh_from_db()
        if key.state != KeyState.NEXT:
            return
        until = Now() + timedelta(days=settings.HUB_DEVICE_KEY_DAYS)
        device.keys.filter(state=KeyState.ACTIVE).update(state=KeyState.RETIRING, retires_at=until)
        KEY_TRANSITIONS.apply(key, KeyState.ACTIVE, activated_at=Now())
        audit.record(DeviceActor(str(device.pk), device.name), "device.key_used", device, fingerprint=key.fingerprint)
        events.record(device.subject, Event.Kind.NOTE, f"Signs with key {key.fingerprint[:16]}.")


def accept_key(device: Device, *, actor: Asker, fingerprint: str = "") -> DeviceKey:
    """Take the key that a device of this identity proposes, in the place of all it had.

    `fingerprint` is that of the key that was looked at: another one may have been proposed meanwhile.
    """
    require(actor, "devices.control", device)
    with transaction.atomic():
        locked = lock(device)
        key = _proposed(locked)
        check_seen(key, fingerprint)
        locked.keys.filter(state__in=[KeyState.ACTIVE, KeyState.NEXT, KeyState.RETIRING]).update(
            state=KeyState.REVOKED, revoked_at=Now(), revoked_reason="Another key was accepted."
        )
        KEY_TRANSITIONS.apply(key, KeyState.ACTIVE, activated_at=Now())
        forget_reported(locked)
        audit.record(actor, "device.key_accepted", locked, fingerprint=key.fingerprint, algorithm=key.algorithm)
    return key


def forget_reported(device: Device) -> None:
    """Believe nothing of what was said under keys that were lost: what holds the new one may be a new installation.

    It says with its next heartbeat what it runs and what it has applied, counts its batches of lines anew, and
    registers the key by which it reads what is sealed for it.
    """
    DeviceBeat.objects.filter(device=device).update(bundle_version="", config_version=None, log_sequence=0)
    DeviceSealingKey.objects.filter(device=device).delete()


def refuse_key(device: Device, *, actor: Asker, fingerprint: str = "") -> DeviceKey:
    """Refuse the key that is proposed for this identity; it is never taken again.

    `fingerprint` is that of the key that was looked at.
    """
    require(actor, "devices.control", device)
    with transaction.atomic():
        locked = lock(device)
        key = _proposed(locked)
        check_seen(key, fingerprint)
        KEY_TRANSITIONS.apply(key, KeyState.REVOKED, revoked_at=Now(), revoked_reason="Refused.")
        audit.record(actor, "device.key_refused", locked, fingerprint=key.fingerprint)
    return key


def propose_key(device: Device, facts: public_keys.KeyFacts) -> DeviceKey:
    """Keep a key that somebody has to decide about; a later proposal takes the place of one before.

    That one is forgotten, not revoked: nobody has decided about it, and strangers must not fill the table.
    """
    device.keys.filter(state=KeyState.PROPOSED).delete()
    return _add(device, facts, KeyState.PROPOSED)


def expect_key(device: Device, facts: public_keys.KeyFacts) -> DeviceKey:
    """Keep the key of a device that has not called yet. Its first proof makes it the key; no proposal displaces it."""
    return _add(device, facts, KeyState.NEXT)


def _add(device: Device, facts: public_keys.KeyFacts, state: KeyState) -> DeviceKey:
    return DeviceKey.objects.create(
        device=device,
        fingerprint=facts.fingerprint,
        algorithm=facts.algorithm,
        bits=facts.bits,
        public_key=facts.pem,
        state=state,
        activated_at=Now() if state == KeyState.ACTIVE else None,
    )


def _revoke(device: Device, state: KeyState, reason: str) -> None:
    device.keys.filter(state=state).update(state=KeyState.REVOKED, revoked_at=Now(), revoked_reason=reason)


def _proposed(device: Device) -> DeviceKey:
    key = device.keys.filter(state=KeyState.PROPOSED).first()
    if key is None or not device.keys.exclude(pk=key.pk).exists():
        raise Conflict("No other key is proposed for this device.", code="nothing_proposed")
    return key


def _decoded(proof: str) -> bytes:
    try:
        return base64.b64decode(proof, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("The proof is not base64.", field="proof") from None
