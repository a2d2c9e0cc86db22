"""What a heartbeat tells a device about its configuration: only when it says that it has an older one, or none."""

from __future__ import annotations

from uuid import UUID

from devices.offers import Command, Source
from devices.reports import Report

from .models import DeviceConfig

SOURCE = Source(
    name="configuration",
    exists=(
        "EXISTS (SELECT FROM devices_deviceconfig config WHERE config.device_id = beat.device_id"
        " AND config.version IS DISTINCT FROM beat.config_version)"
    ),
    fetch=lambda device_id, report: commands_for(device_id, report),
)


def commands_for(device_id: UUID, report: Report) -> list[Command]:
    """The configuration, when the device does not say that it has this version."""
    config = DeviceConfig.objects.filter(device=device_id).first()
    if config is None or config.version == report.config_version:
        return []
    return [{"type": "configure", "config_version": config.version, **config.desired}]
