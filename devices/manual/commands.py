"""What a heartbeat tells a device of the commands that wait for it."""

from __future__ import annotations

from uuid import UUID

from devices.offers import Command, Source
from devices.reports import Report

from .choices import OPEN
from .services import next_offer

_STATUSES = ", ".join(f"'{status.value}'" for status in OPEN)
SOURCE = Source(
    name="manual",
    exists=(
        "EXISTS (SELECT FROM devices_manualcommand manual"
        f" WHERE manual.device_id = beat.device_id AND manual.status IN ({_STATUSES}))"
    ),
    fetch=lambda device_id, report: commands_for(device_id, report),
)


def commands_for(device_id: UUID, report: Report) -> list[Command]:
    """One at a time, the oldest first."""
    command = next_offer(device_id)
    return [command] if command is not None else []
