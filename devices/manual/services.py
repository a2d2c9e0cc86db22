"""Send a command to a device, take it back, take its result; and what the clock does with those that wait."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts import audit
from accounts.permissions import require
from devices.choices import DeviceStatus
from devices.deployments.models import DeploymentTarget
from devices.models import Device
from devices.packaging.manifest import COMMAND
from hub import bulk
from hub.exceptions import Conflict, Invalid, NotFound

from .choices import (
    ANSWERS,
    ARGUMENT_LENGTH,
    BUILT_IN,
    COMMAND_TRANSITIONS,
    ERROR_LENGTH,
    EXPIRES_SECONDS,
    LEASE_GRACE_SECONDS,
    MOST_ARGUMENTS,
    MOST_OFFERS,
    MOST_OPEN,
    OUTPUT_LENGTH,
    TIMEOUT_SECONDS,
    CommandStatus,
)
from .models import ManualCommand

if TYPE_CHECKING:
    from accounts.actors import Asker

C = CommandStatus
MOST_AT_ONCE = 1000


def commands_of(device: Device) -> dict[str, dict[str, Any]]:
    """What the bundle declares that the device runs, as the hub knows it: by name, with script and time limit."""
    proven = DeploymentTarget.objects.filter(device=device, bundle__version=device.beat.bundle_version).good()
    manifest = proven.values_list("bundle__manifest", flat=True).first() or {}
    declared: dict[str, dict[str, Any]] = manifest.get("commands", {})
    return declared


def send_command(
    device: Device,
    *,
    actor: Asker,
    name: str,
    arguments: Sequence[str] = (),
    timeout_seconds: int = 300,
    expires_seconds: int = 3600,
) -> ManualCommand:
    """Have the device do this when it calls next. Only what every agent can do, or what its bundle declares."""
    require(actor, "devices.control", device)
    _check(name, arguments, timeout_seconds, expires_seconds)
    with transaction.atomic():
        locked = Device.objects.select_for_update(no_key=True, of=("self",)).select_related("region").get(pk=device.pk)
        if locked.status != DeviceStatus.ACCEPTED:
            raise Conflict(f"The device is {locked.status}.", code="not_accepted")
        if name not in BUILT_IN and name not in commands_of(locked):
            known = ", ".join([*BUILT_IN, *sorted(commands_of(locked))])
            text = f"The bundle on the device declares no such command. It can do: {known}."
            raise Conflict(text, code="no_such_command", field="name")
        if ManualCommand.objects.filter(device=locked).open().count() >= MOST_OPEN:
            raise Conflict(f"{MOST_OPEN} commands wait for this device already.", code="too_many_commands")
        command = ManualCommand.objects.create(
            device=locked,
            name=name,
            arguments=list(arguments),
            timeout_seconds=timeout_seconds,
            expires_at=Now() + timedelta(seconds=expires_seconds),
            created_by=str(actor)[:150],
        )
        audit.record(actor, "device.command_sent", locked, command=str(command)[:300], id=str(command.pk))
    command.refresh_from_db()
    return command


def send_many(ids: Iterable[UUID], *, actor: Asker, **said: Any) -> list[bulk.Result[Device]]:
    """The same command for each of these devices, whatever becomes of the others."""
    require(actor, "devices.control")
    rows = Device.objects.visible_to(actor).select_related("region")
    return bulk.for_keys(ids, rows, lambda device: send_command(device, actor=actor, **said))


def cancel_command(command: ManualCommand, *, actor: Asker) -> ManualCommand:
    """Take it back before the device has heard of it."""
    require(actor, "devices.control", command.device)
    with transaction.atomic():
        if command.status != C.WAITING or not COMMAND_TRANSITIONS.apply(command, C.CANCELLED, finished_at=Now()):
            raise Conflict("The device has heard of it already, or it has ended.", code="not_now")
        audit.record(actor, "device.command_cancelled", command.device, command=str(command)[:300])
    return command


def next_offer(device_id: UUID) -> dict[str, Any] | None:
    """The oldest open command, under a lease; one whose lease is over is offered again, and not for ever."""
    with transaction.atomic():
        rows = ManualCommand.objects.filter(device=device_id).open().order_by("created_at", "id")
        for command in rows.select_for_update(no_key=True).annotate(now=Now()):
            now: datetime = command.now
            if command.status == C.OFFERED and command.lease_until and command.lease_until > now:
                return None  # it is at work, and does one after the other
            if command.status == C.WAITING and command.expires_at < now:
                COMMAND_TRANSITIONS.apply(command, C.EXPIRED, finished_at=Now())
            elif command.status == C.OFFERED and (command.offers >= MOST_OFFERS or command.expires_at < now):
                COMMAND_TRANSITIONS.apply(command, C.LOST, finished_at=Now())
            else:
                return _offer(command, now)
    return None


def report_command(
    device_id: UUID, command_id: UUID, *, status: str, error_message: str = "", output: str = ""
) -> tuple[ManualCommand, bool]:
    """Take a device's word on its command, once; answers whether this word has changed anything.

    404 for another device's, 409 for one that was never offered or was taken back.
    """
    if status not in ANSWERS:
        raise Invalid(f"Report one of {', '.join(ANSWERS)}.", field="status")
    with transaction.atomic():
        rows = ManualCommand.objects.select_for_update(no_key=True)
        command = rows.filter(pk=command_id, device=device_id).first()
        if command is None:
            raise NotFound("There is no such command.")
        if command.status in ANSWERS:
            return command, False
        if command.status not in (C.OFFERED, C.LOST):
            raise Conflict("Nobody has offered it.", code="not_offered")
        COMMAND_TRANSITIONS.apply(
            command,
            status,
            finished_at=Now(),
            lease_until=None,
            error_message=error_message[:ERROR_LENGTH],
            output=output[-OUTPUT_LENGTH:],
        )
    return command, True


def expire_commands() -> int:
    """End those whose time is over, also of devices that do not call."""
    past = list(ManualCommand.objects.all().past().values_list("pk", flat=True)[:MOST_AT_ONCE])
    lost = list(ManualCommand.objects.all().unanswered().values_list("pk", flat=True)[:MOST_AT_ONCE])
    rows = ManualCommand.objects.all()
    return rows.filter(pk__in=past).past().update(status=C.EXPIRED, finished_at=Now()) + rows.filter(
        pk__in=lost
    ).unanswered().update(status=C.LOST, finished_at=Now())


def _offer(command: ManualCommand, now: datetime) -> dict[str, Any]:
    lease = now + timedelta(seconds=command.timeout_seconds + LEASE_GRACE_SECONDS)
    COMMAND_TRANSITIONS.apply(command, C.OFFERED, lease_until=lease, offers=F("offers") + 1)
    return {
        "type": "command",
        "command_id": str(command.pk),
        "name": command.name,
        "arguments": command.arguments,
        "timeout_seconds": command.timeout_seconds,
    }


def _check(name: str, arguments: Sequence[str], timeout_seconds: int, expires_seconds: int) -> None:
    if not re.match(COMMAND, name):
        raise Invalid("A name is of small letters, digits, _ and -, and begins with a letter.", field="name")
    if len(arguments) > MOST_ARGUMENTS or any(len(each) > ARGUMENT_LENGTH or "\0" in each for each in arguments):
        text = f"At most {MOST_ARGUMENTS} arguments of at most {ARGUMENT_LENGTH} letters."
        raise Invalid(text, field="arguments")
    for field, value, (least, most) in (
        ("timeout_seconds", timeout_seconds, TIMEOUT_SECONDS),
        ("expires_seconds", expires_seconds, EXPIRES_SECONDS),
    ):
        if not least <= value <= most:
            raise Invalid(f"From {least} to {most} seconds.", field=field)
