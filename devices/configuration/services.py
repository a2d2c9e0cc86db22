"""Set configurations of devices and groups, look at what was, and go back to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.actors import SYSTEM
from accounts.permissions import require
from devices.limits import require_all
from devices.models import Device, DeviceBeat, DeviceGroup
from hub.exceptions import Conflict, NotFound

from . import schema
from .models import ConfigRevision, DeviceConfig, GroupConfig, default_values

if TYPE_CHECKING:
    from accounts.actors import Asker

BATCH = 500


class VersionDiffers(Conflict):
    """Somebody changed it after it was read."""

    code = "version_differs"


def config_of(device: Device) -> DeviceConfig:
    """Its configuration; the defaults when nobody has set anything, which stores nothing."""
    found = DeviceConfig.objects.filter(device=device).first()
    return found or DeviceConfig(device=device, desired=schema.merge(_group_layers([device.pk]).get(device.pk, [])))


def set_device_config(
    device: Device,
    values: Mapping[str, Any],
    *,
    actor: Asker,
    expected_version: int | None = None,
    note: str = "",
) -> DeviceConfig:
    """Give a device values of its own, instead of those it had; what is missing it inherits.

    Every change is a new version; `expected_version` refuses when it is not the present one.
    """
    require(actor, "devices.change", device)
    cleaned = schema.clean(values)
    with transaction.atomic():
        config = _locked(device)
        _expect(config.version, expected_version)
        before = config.values
        config.values = cleaned
        config.desired = schema.merge([*_group_layers([device.pk]).get(device.pk, []), cleaned])
        config.version += 1
        config.error = ""
        config.save()
        _keep(config, actor, note, device=device, desired=config.desired)
        _set_interval(config.desired["polling_interval"], [device.pk])
        audit.record(actor, "device.configured", device, version=config.version, **_changed(before, cleaned))
    return config


def set_group_config(
    group: DeviceGroup,
    values: Mapping[str, Any],
    *,
    actor: Asker,
    expected_version: int | None = None,
    note: str = "",
) -> GroupConfig:
    """Give a group values that its devices inherit; those for which something changes get a new version."""
    require(actor, "devices.change")
    require_all(actor, group.devices.all())
    cleaned = schema.clean(values)
    with transaction.atomic():
        GroupConfig.objects.get_or_create(group=group)
        config = GroupConfig.objects.select_for_update().get(group=group)
        _expect(config.version, expected_version)
        before = config.values
        config.values = cleaned
        config.version += 1
        config.save()
        _keep(config, actor, note, group=group)
        audit.record(actor, "group.configured", group, version=config.version, **_changed(before, cleaned))
        refresh_devices(group.devices.values_list("pk", flat=True), actor=actor, note=f"Group {group.name}")
    return config


def refresh_devices(devices: Iterable[UUID], *, actor: Asker, note: str = "") -> int:
    """Work out anew what these devices inherit: after a group changed, or its members. Answers how many changed."""
    keys, changed = sorted(set(devices)), 0
    for start in range(0, len(keys), BATCH):
        part = keys[start : start + BATCH]
        layers = _group_layers(part)
        DeviceConfig.objects.bulk_create(
            [DeviceConfig(device_id=key) for key in part if layers.get(key)], ignore_conflicts=True
        )
        others = []
        for config in DeviceConfig.objects.select_for_update().filter(device__in=part).order_by("device_id"):
            desired = schema.merge([*layers.get(config.device_id, []), config.values])
            if desired != config.desired:
                config.desired, config.version = desired, config.version + 1
                others.append(config)
        _store(others, actor, note)
        changed += len(others)
    return changed


def _store(configs: list[DeviceConfig], actor: Asker, note: str) -> None:
    """Store new results of many devices, each with its revision: a group may have ten thousand."""
    sql = """
        UPDATE devices_deviceconfig config
        SET desired = new.desired::jsonb, version = new.version, error = '', updated_at = now()
        FROM unnest(%s::uuid[], %s::text[], %s::int[]) AS new (device_id, desired, version)
        WHERE config.device_id = new.device_id
    """
    if not configs:
        return
    keys, versions = [each.device_id for each in configs], [each.version for each in configs]
    with connection.cursor() as cursor:
        cursor.execute(sql, [keys, [json.dumps(each.desired) for each in configs], versions])
    ConfigRevision.objects.bulk_create(
        _revision_of(each, actor, note, device_id=each.device_id, desired=each.desired) for each in configs
    )
    by_interval: dict[int, list[UUID]] = {}
    for each in configs:
        by_interval.setdefault(each.desired["polling_interval"], []).append(each.device_id)
    for seconds, devices in by_interval.items():
        _set_interval(seconds, devices)


def rollback_device_config(
    device: Device, version: int, *, actor: Asker, expected_version: int | None = None
) -> DeviceConfig:
    """The values of an earlier version, as a new one."""
    revision = _revision(device, version)
    note = f"Back to version {version}"
    return set_device_config(device, revision.values, actor=actor, expected_version=expected_version, note=note)


def rollback_group_config(
    group: DeviceGroup, version: int, *, actor: Asker, expected_version: int | None = None
) -> Any:
    """The values of an earlier version, as a new one."""
    revision = _revision(group, version)
    note = f"Back to version {version}"
    return set_group_config(group, revision.values, actor=actor, expected_version=expected_version, note=note)


def history_of(row: Device | DeviceGroup, most: int) -> list[ConfigRevision]:
    """Its latest configurations, newest first, down to version 1: the defaults, which nobody has set."""
    found = list(row.config_revisions.all()[:most])
    return found if len(found) == most or any(each.version == 1 for each in found) else [*found, _first(row)]


def _first(row: Device | DeviceGroup) -> ConfigRevision:
    is_device = isinstance(row, Device)
    return ConfigRevision(
        version=1,
        desired=default_values() if is_device else None,
        note="The defaults" if is_device else "Nothing of its own",
        actor_name=str(SYSTEM),
        created_at=row.registered_at if isinstance(row, Device) else row.created_at,
    )


def report_applied(device_id: UUID, version: int, *, error: str = "") -> DeviceConfig | None:
    """A device says which version it has applied, or why it could not; None when it has no configuration.

    Why an older one did not work is of no interest any more, and says nothing about the newest.
    """
    with transaction.atomic():
        config = DeviceConfig.objects.select_for_update(no_key=True).filter(device=device_id).first()
        if config is None:
            return None
        if version > config.version:
            raise Conflict(f"The newest version is {config.version}.", code="no_such_version", field="config_version")
        if error and version < config.version:
            return config
        if error:
            config.error = error[:500]
        else:
            config.applied_version, config.error = version, ""
            DeviceBeat.objects.filter(device=device_id).update(config_version=version)
        DeviceConfig.objects.filter(pk=config.pk).update(
            applied_version=config.applied_version, error=config.error, applied_at=Now()
        )
    return config


def _locked(device: Device) -> DeviceConfig:
    """Its row, made with the defaults and locked."""
    DeviceConfig.objects.get_or_create(device=device)
    return DeviceConfig.objects.select_for_update().get(device=device)


def _group_layers(devices: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What devices inherit from their groups, the strongest last."""
    members = Device.groups.through._default_manager.filter(device__in=devices)
    rows = members.order_by("devicegroup__priority", "devicegroup__slug").values_list(
        "device_id", "devicegroup__configuration__values"
    )
    found: dict[UUID, list[dict[str, Any]]] = {}
    for device, values in rows:
        if values:
            found.setdefault(device, []).append(values)
    return found


def _keep(config: Any, actor: Asker, note: str, **of: Any) -> None:
    _revision_of(config, actor, note, **of).save(force_insert=True)


def _revision_of(config: Any, actor: Asker, note: str, **of: Any) -> ConfigRevision:
    return ConfigRevision(version=config.version, values=config.values, note=note[:300], actor_name=str(actor), **of)


def _set_interval(seconds: int, devices: list[UUID]) -> None:
    """How often they are to call is told with every heartbeat, too."""
    rows = DeviceBeat.objects.filter(device__in=devices).exclude(interval_seconds=seconds)
    rows.update(interval_seconds=seconds)


def _expect(version: int, expected: int | None) -> None:
    if expected is not None and expected != version:
        raise VersionDiffers(f"It is version {version} by now. Read it again.", field="expected_version")


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Names only: a setting's value may be private."""
    return {"changed": [row["name"] for row in schema.difference(before, after)]}


def _revision(row: Device | DeviceGroup, version: int) -> ConfigRevision:
    found: ConfigRevision | None = row.config_revisions.filter(version=version).first()
    if found is None and version == 1:
        return _first(row)
    if found is None:
        raise NotFound(f"There was no version {version}.")
    return found
