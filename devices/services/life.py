"""Decide about a device, change what people say of it, and end it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.permissions import require
from hub.exceptions import Conflict
from monitoring import events
from monitoring.models import Event

from ..choices import DEVICE_TRANSITIONS, DeviceStatus, KeyState
from ..configuration.services import refresh_devices
from ..deployments.services import end_for_device
from ..models import Device, DeviceGroup, DeviceKey

if TYPE_CHECKING:
    from accounts.actors import Asker

CHANGEABLE: Final = frozenset({"name", "region", "device_type", "tags", "notes"})


def accept_device(device: Device, *, actor: Asker, fingerprint: str = "") -> Device:
    """Deal with it from now on. Its proposed key, if it has no other, becomes its key.

    `fingerprint` is that of the key that was looked at: another one may have been proposed meanwhile.
    """
    with transaction.atomic():
        key = lock(device).keys.filter(state=KeyState.PROPOSED).first()
        check_seen(key, fingerprint)
        return _move(device, DeviceStatus.ACCEPTED, "device.accepted", actor=actor, only=("pending", "rejected"))


def check_seen(key: DeviceKey | None, fingerprint: str) -> None:
    """Refuse a decision about another key than the one that was looked at; nothing is asked of who names none."""
    if fingerprint and (key is None or key.fingerprint != fingerprint):
        raise Conflict("Another key is proposed by now. Look again.", code="other_key", field="fingerprint")


def reject_device(device: Device, *, actor: Asker, reason: str = "") -> Device:
    """Do not deal with it; it may be accepted later."""
    return _move(device, DeviceStatus.REJECTED, "device.rejected", actor=actor, reason=reason)


def suspend_device(device: Device, *, actor: Asker, reason: str = "") -> Device:
    """Refuse its requests until somebody resumes it."""
    return _move(device, DeviceStatus.SUSPENDED, "device.suspended", actor=actor, reason=reason)


def resume_device(device: Device, *, actor: Asker) -> Device:
    """Lift a suspension."""
    return _move(device, DeviceStatus.ACCEPTED, "device.resumed", actor=actor, only=("suspended",))


def decommission_device(device: Device, *, actor: Asker, reason: str = "") -> Device:
    """End it for good: its keys are revoked and never taken again, its deployments end, its history stays."""
    return _move(device, DeviceStatus.DECOMMISSIONED, "device.decommissioned", actor=actor, reason=reason)


def update_device(device: Device, *, actor: Asker, groups: list[DeviceGroup] | None = None, **changes: Any) -> Device:
    """Change name, region, type, tags, notes or groups."""
    require(actor, "devices.change", device)
    if unknown := changes.keys() - CHANGEABLE:
        raise LookupError(f"{', '.join(sorted(unknown))} cannot be changed")
    with transaction.atomic():
        locked = lock(device)
        if locked.status == DeviceStatus.DECOMMISSIONED:
            raise Conflict("This device has been decommissioned.", code="decommissioned")
        before = {name: getattr(locked, name) for name in changes}
        for name, value in changes.items():
            setattr(locked, name, value)
        require(actor, "devices.change", locked)  # it may be in another region now
        locked.tags = sorted(set(locked.tags))
        locked.full_clean(exclude=["identity", "hardware"])
        after = {name: getattr(locked, name) for name in changes}
        if before != after:
            locked.save(update_fields=list(changes))
        if groups is not None:
            before["groups"], after["groups"] = _set_groups(locked, groups)
            refresh_devices([locked.pk], actor=actor, note="Its groups")
        if before != after:
            audit.record(actor, "device.updated", locked, **audit.changes(before, after))
    return locked


def lock(device: Device) -> Device:
    """The row as it is now, locked until the end of the transaction."""
    return Device.objects.select_for_update(no_key=True, of=("self",)).select_related("region").get(pk=device.pk)


def _set_groups(device: Device, groups: list[DeviceGroup]) -> tuple[list[str], list[str]]:
    """Put it into these groups and no others; answers which it was in, and which it is."""
    before = sorted(device.groups.values_list("slug", flat=True))
    if before != (after := sorted(group.slug for group in groups)):
        device.groups.set(groups)
    return before, after


def _move(
    device: Device,
    status: DeviceStatus,
    action: str,
    *,
    actor: Asker,
    reason: str = "",
    only: tuple[str, ...] = (),
) -> Device:
    require(actor, "devices.control", device)
    with transaction.atomic():
        locked = lock(device)
        if locked.status == status or (only and locked.status not in only):
            raise Conflict(f"This device is {locked.status}.", code="not_now")
        moment: dict[str, Any] = (
            {"accepted_at": Now()} if status == DeviceStatus.ACCEPTED and locked.accepted_at is None else {}
        )
        DEVICE_TRANSITIONS.apply(locked, status, status_reason=reason.strip()[:300], **moment)
        if status == DeviceStatus.ACCEPTED:
            activate_first_key(locked)
        if status == DeviceStatus.DECOMMISSIONED:
            locked.keys.exclude(state=KeyState.REVOKED).update(
                state=KeyState.REVOKED, revoked_at=Now(), revoked_reason="The device was decommissioned."
            )
            end_for_device(locked)
            locked.groups.clear()
            refresh_devices([locked.pk], actor=actor, note="Decommissioned")
        audit.record(actor, action, locked, **({"reason": locked.status_reason} if reason else {}))
        events.record(locked.subject, Event.Kind.NOTE, f"{DeviceStatus(status).label}. {locked.status_reason}".strip())
    return locked


def activate_first_key(device: Device) -> None:
    """Take the proposed key of a device that has none in use."""
    if not device.keys.filter(state=KeyState.ACTIVE).exists():
        DeviceKey.objects.filter(device=device, state=KeyState.PROPOSED).update(
            state=KeyState.ACTIVE, activated_at=Now()
        )
