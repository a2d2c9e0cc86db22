"""Enrolment: a device proves with a nonce of ours that it holds its key, and gets a record.

Same identity and same key: the same record. Same identity and a new key: somebody has to decide about that key. Same
key and another identity: a conflict, because a key is what a device is known by.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.crypto import get_random_string

from accounts import audit
from accounts.actors import SYSTEM, DeviceActor
from accounts.permissions import require
from hub.exceptions import Conflict, TooMany
from hub.nodes.models import Region
from monitoring import events
from monitoring.models import Event

from .. import public_keys, signatures
from ..choices import DEVICE_TRANSITIONS, DeviceStatus, KeyState
from ..claims import DeviceRefused
from ..configuration.services import refresh_devices
from ..models import Device, DeviceBeat, DeviceGroup, DeviceKey
from ..public_keys import KeyFacts
from ..signatures import Refusal
from . import keys, tokens

if TYPE_CHECKING:
    from accounts.actors import Asker

NONCE_SECONDS: Final = 300
_SALT: Final = "devices.enrolment"


@dataclass(frozen=True)
class Enrolled:
    """What came of an enrolment. `key_state` is that of the key that was proven."""

    device: Device
    key_state: KeyState
    is_new: bool


def new_nonce() -> str:
    """A nonce that this hub gave, and when; it is signed and not stored, so asking for many costs nothing."""
    return signing.TimestampSigner(salt=_SALT).sign(get_random_string(16))


def prove(request: HttpRequest, public_key: str) -> KeyFacts:
    """The key of a request that is signed with it over a fresh nonce of ours. Raises `DeviceRefused` or `Invalid`."""
    facts = public_keys.read(public_key)
    try:
        signed = signatures.read(request, tag=signatures.TAG_ENROL)
        if signed.keyid != facts.fingerprint:
            raise Refusal("unknown_key", "The request is not signed with the key that it brings.")
        signing.TimestampSigner(salt=_SALT).unsign(signed.nonce, max_age=NONCE_SECONDS)
        signed.check(facts.key, facts.algorithm)
    except signing.SignatureExpired:
        raise DeviceRefused("nonce", f"The nonce is older than {NONCE_SECONDS} s. Ask for another.") from None
    except signing.BadSignature:
        raise DeviceRefused("nonce", "This hub has not given this nonce. Ask for one first.") from None
    except Refusal as refusal:
        raise DeviceRefused(refusal.reason, refusal.message) from None
    return facts


def enrol_device(
    facts: KeyFacts,
    *,
    identity: dict[str, Any] | None = None,
    device_type: str = "",
    hardware: dict[str, Any] | None = None,
    enrolment_token: str = "",
) -> Enrolled:
    """Give the holder of a proven key its record, or answer the one it has: also to who does not say what it is."""
    values = {"device_type": device_type, "hardware": hardware or {}}
    try:
        with transaction.atomic():
            return _enrol(facts, identity, values, enrolment_token)
    except IntegrityError:  # somebody enrolled the same identity or key at this moment: now it is there to be found
        with transaction.atomic():
            return _enrol(facts, identity, values, enrolment_token)


def preauthorise_device(
    *,
    actor: Asker,
    name: str,
    public_key: str,
    identity: dict[str, Any] | None = None,
    region: Region | None = None,
    groups: list[DeviceGroup] | None = None,
    **values: Any,
) -> Device:
    """Make the record of a device before it calls: the first proof with this key is accepted without asking."""
    facts = public_keys.read(public_key)
    identity = identity or {"key": facts.fingerprint}
    device = Device(
        name=name,
        identity=identity,
        identity_hash=hash_of(identity),
        region=region,
        status=DeviceStatus.PREAUTHORISED,
        **values,
    )
    require(actor, "devices.change", device)
    device.full_clean(exclude=["hardware"], validate_unique=False)
    if DeviceKey.objects.filter(fingerprint=facts.fingerprint).exists():
        raise Conflict("A device has this key already.", code="key_known", field="public_key")
    if Device.objects.filter(identity_hash=device.identity_hash).exists():
        raise Conflict("There is a device of this identity already.", code="identity_known", field="identity")
    with transaction.atomic():
        _store(device)
        keys.expect_key(device, facts)
        device.groups.set(groups or [])
        refresh_devices([device.pk], actor=actor, note="Preauthorised")
        audit.record(actor, "device.preauthorised", device, fingerprint=facts.fingerprint)
    return device


def hash_of(identity: dict[str, Any]) -> str:
    """The same for the same identity, however it is written."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(canonical.encode()).hexdigest()


def _enrol(facts: KeyFacts, said: dict[str, Any] | None, values: dict[str, Any], token: str) -> Enrolled:
    identity = said or {"key": facts.fingerprint}
    which = (
        Q(identity_hash=hash_of(identity)) if said else Q(pk__in=_holders(facts)) | Q(identity_hash=hash_of(identity))
    )
    device = Device.objects.select_for_update(no_key=True).filter(which).first()
    key = DeviceKey.objects.select_related("device").filter(fingerprint=facts.fingerprint).first()
    if key is not None:
        return _known(key, device, values)
    if device is None:
        return _new(facts, identity, values, token)
    if device.status == DeviceStatus.DECOMMISSIONED:
        raise Conflict("The device of this identity has been decommissioned.", code="decommissioned", field="identity")
    key = keys.propose_key(device, facts)
    actor = DeviceActor(str(device.pk), device.name)
    audit.record(actor, "device.key_proposed", device, fingerprint=key.fingerprint, algorithm=key.algorithm)
    return Enrolled(device, KeyState(key.state), False)


def _holders(facts: KeyFacts) -> Any:
    """The device that has this key, if there is one."""
    return DeviceKey.objects.filter(fingerprint=facts.fingerprint).values("device_id")


def _known(key: DeviceKey, named: Device | None, values: dict[str, Any]) -> Enrolled:
    """Same key: the same record, accepted now if it is the key that was expected, and not one that was proposed."""
    device = key.device
    if named is None or device.pk != named.pk:
        raise Conflict("Another device has this key.", code="key_known", field="public_key")
    if key.state == KeyState.REVOKED:
        raise DeviceRefused("retired_key", "This key is not taken any more. Make a new one.", status=403)
    if device.status == DeviceStatus.PREAUTHORISED and key.state != KeyState.PROPOSED:
        reported = {name: value for name, value in values.items() if value}
        DEVICE_TRANSITIONS.apply(device, DeviceStatus.ACCEPTED, accepted_at=Now(), **reported)
        _activate(device, key)
    return Enrolled(device, KeyState(key.state), False)


def _new(facts: KeyFacts, identity: dict[str, Any], values: dict[str, Any], secret: str) -> Enrolled:
    """A device nobody has heard of: it waits, unless it brings a token."""
    token = tokens.use_token(secret) if secret else None
    if not token and Device.objects.filter(status=DeviceStatus.PENDING).count() >= settings.HUB_DEVICES_PENDING:
        raise TooMany("Too many devices wait to be accepted. Try again later.", code="too_many_wait", retry_after=600)
    device = Device(
        name=_name_of(identity, values["hardware"], facts),
        identity=identity,
        identity_hash=hash_of(identity),
        region=token.region if token else None,
        tags=token.tags if token else [],
        status=DeviceStatus.ACCEPTED if token else DeviceStatus.PENDING,
        accepted_at=Now() if token else None,
        **values,
    )
    _store(device)
    key = keys.propose_key(device, facts)
    actor = DeviceActor(str(device.pk), device.name)
    by = {"token_id": str(token.pk), "token_name": token.name} if token else {}
    audit.record(actor, "device.enrolled", device, fingerprint=key.fingerprint, algorithm=key.algorithm, **by)
    if token:
        if token.group:
            device.groups.add(token.group)
            refresh_devices([device.pk], actor=SYSTEM, note=f"Group {token.group.name}")
        _activate(device, key)
    return Enrolled(device, KeyState(key.state), True)


def _activate(device: Device, key: DeviceKey) -> None:
    key.state = KeyState.ACTIVE
    key.activated_at = Now()
    key.save(update_fields=["state", "activated_at"])
    actor = DeviceActor(str(device.pk), device.name)
    audit.record(actor, "device.accepted", device, fingerprint=key.fingerprint)
    events.record(device.subject, Event.Kind.NOTE, "Accepted.")


def _store(device: Device) -> None:
    device.save(force_insert=True)
    DeviceBeat.objects.create(device=device)


def _name_of(identity: dict[str, Any], hardware: dict[str, Any], facts: KeyFacts) -> str:
    """What people call it until somebody gives it a name."""
    for found in (hardware.get("hostname"), identity.get("serial"), identity.get("mac")):
        if isinstance(found, str) and found.strip() and found.isprintable():
            return found.strip()[:100]
    return f"device-{facts.fingerprint[:8]}"
