"""What happened to devices, from all that keeps a record: log lines, deployments, commands, health and silence."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from monitoring import subjects
from monitoring.models import Event

from .choices import Health, LogLevel
from .deployments.choices import TargetStatus
from .deployments.models import DeploymentTarget, TargetEvent
from .manual.choices import CommandStatus
from .manual.models import ManualCommand
from .measured import SILENT
from .models import DeviceLog

LEVEL_OF_TARGET: Final = {TargetStatus.FAILED: LogLevel.ERROR, TargetStatus.ROLLED_BACK: LogLevel.WARNING}
LEVEL_OF_COMMAND: Final = {CommandStatus.FAILED: LogLevel.ERROR, CommandStatus.LOST: LogLevel.WARNING}
HIDDEN: Final = 4
"""So many times the rows are looked through for those that a person may see."""


@dataclass(frozen=True)
class Happening:
    """One moment of one device."""

    timestamp: datetime
    level: str
    message: str
    source: str
    device: UUID
    device_name: str


def merged(user: Any, limit: int, device: UUID | None = None) -> list[Happening]:
    """The latest moments of the devices that the person may see, or of one of them, newest first."""
    parts = [part(user, limit, device) for part in (_lines, _deployments, _commands, _states)]
    return list(heapq.merge(*parts, key=lambda each: each.timestamp, reverse=True))[:limit]


def _lines(user: Any, limit: int, device: UUID | None) -> Iterable[Happening]:
    rows = DeviceLog.objects.visible_to(user)
    rows = rows if device is None else rows.filter(device=device)
    for row in rows.select_related("device").order_by("-at", "-id")[:limit]:
        yield Happening(row.at, row.level, row.message, row.source or "log", row.device_id, row.device.name)


def _deployments(user: Any, limit: int, device: UUID | None) -> list[Happening]:
    rows = TargetEvent.objects.filter(target__in=DeploymentTarget.objects.visible_to(user))
    rows = rows if device is None else rows.filter(target__device=device)
    found = rows.select_related("target__device", "target__bundle").order_by("-id")[:limit]
    return sorted(
        (
            Happening(
                row.at,
                LEVEL_OF_TARGET.get(TargetStatus(row.status), LogLevel.INFO),
                f"{row.target.bundle}: {row.get_status_display().lower()}. {row.message}".strip(),
                "deployment",
                row.target.device_id,
                row.target.device.name,
            )
            for row in found
        ),
        key=lambda each: each.timestamp,
        reverse=True,
    )


def _commands(user: Any, limit: int, device: UUID | None) -> Iterable[Happening]:
    """How commands ended that were sent by hand."""
    rows = ManualCommand.objects.visible_to(user).exclude(finished_at=None)
    rows = rows if device is None else rows.filter(device=device)
    for row in rows.select_related("device").defer("output").order_by("-finished_at")[:limit]:
        level = LEVEL_OF_COMMAND.get(CommandStatus(row.status), LogLevel.INFO)
        text = f"{row}: {row.get_status_display().lower()}. {row.error_message}".strip()
        yield Happening(row.finished_at, level, text, "command", row.device_id, row.device.name)


def _states(user: Any, limit: int, device: UUID | None) -> list[Happening]:
    """Marks of the charts. They know no regions, so those that the person may not see are left out here."""
    rows = Event.objects.order_by("-id")
    rows = rows.filter(subject__startswith="device:") if device is None else rows.filter(subject=f"device:{device}")
    events = list(rows[: limit * (HIDDEN if device is None else 1)])
    known = subjects.visible(user, {event.subject for event in events})
    found = [
        Happening(
            event.at,
            _level_of(event),
            event.text or event.get_kind_display(),
            "state",
            UUID(event.subject.partition(":")[2]),
            known[event.subject].name,
        )
        for event in events
        if event.subject in known
    ]
    return sorted(found, key=lambda each: each.timestamp, reverse=True)[:limit]


def _level_of(event: Event) -> str:
    if event.text == SILENT or (event.kind == Event.Kind.UNHEALTHY and Health.ERROR in event.text):
        return LogLevel.ERROR
    return LogLevel.WARNING if event.kind == Event.Kind.UNHEALTHY else LogLevel.INFO
