"""Static groups of devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import ProtectedError

from accounts import audit
from accounts.permissions import require
from hub.exceptions import Conflict

from ..configuration.services import refresh_devices
from ..limits import require_all
from ..models import Device, DeviceGroup

if TYPE_CHECKING:
    from accounts.actors import Asker


def create_group(*, actor: Asker, **values: Any) -> DeviceGroup:
    """Make a group without members."""
    require(actor, "devices.change")
    group = DeviceGroup(**values)
    group.full_clean()
    with transaction.atomic():
        group.save()
        audit.record(actor, "device_group.created", group, priority=group.priority)
    return group


def update_group(group: DeviceGroup, *, actor: Asker, **changes: Any) -> DeviceGroup:
    """Change its name, description or priority."""
    require(actor, "devices.change")
    require_all(actor, group.devices.all())
    with transaction.atomic():
        locked = DeviceGroup.objects.select_for_update(no_key=True).get(pk=group.pk)
        before = {name: getattr(locked, name) for name in changes}
        for name, value in changes.items():
            setattr(locked, name, value)
        locked.full_clean()
        locked.save()
        if before.get("priority", locked.priority) != locked.priority:
            refresh_devices(locked.devices.values_list("pk", flat=True), actor=actor, note=f"Group {locked.name}")
        if before != changes:
            audit.record(actor, "device_group.updated", locked, **audit.changes(before, changes))
    return locked


def delete_group(group: DeviceGroup, *, actor: Asker) -> None:
    """Remove a group; its devices stay. One that something still leads into is kept."""
    require(actor, "devices.change")
    require_all(actor, group.devices.all())
    with transaction.atomic():
        members = list(group.devices.values_list("pk", flat=True))
        audit.record(actor, "device_group.deleted", group, members=len(members))
        try:
            group.delete()
            refresh_devices(members, actor=actor, note=f"Group {group.name} is gone")
        except ProtectedError:
            raise Conflict("Something still refers to this group, such as an enrolment token.", code="in_use") from None


def set_members(
    group: DeviceGroup, *, actor: Asker, add: Iterable[Device] = (), remove: Iterable[Device] = ()
) -> tuple[int, int]:
    """Put devices into a group and take others out; answers how many of each. One refusal refuses all."""
    come, go = list(add), list(remove)
    for device in [*come, *go]:
        require(actor, "devices.change", device)
    with transaction.atomic():
        DeviceGroup.objects.select_for_update(no_key=True).get(pk=group.pk)
        members = set(group.devices.filter(pk__in=[device.pk for device in [*come, *go]]).values_list("pk", flat=True))
        come = [device for device in come if device.pk not in members]
        go = [device for device in go if device.pk in members]
        group.devices.add(*come)
        group.devices.remove(*go)
        refresh_devices([device.pk for device in [*come, *go]], actor=actor, note=f"Members of group {group.name}")
        if come or go:
            names = {"added": [str(each) for each in come[:50]], "removed": [str(each) for each in go[:50]]}
            audit.record(actor, "device_group.members_changed", group, come=len(come), go=len(go), **names)
    return len(come), len(go)
