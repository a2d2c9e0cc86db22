"""What came of one alert, moment by moment: from its own columns, and from the audit trail what these do not keep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q

from accounts.models import AuditEntry

from .choices import AlertMoment

if TYPE_CHECKING:
    from .models import Alert

ORDER = list(AlertMoment)


@dataclass(frozen=True)
class Moment:
    """Something that happened to an alert; `by` is empty where the hub itself did it."""

    at: datetime
    event: AlertMoment
    by: str = ""
    text: str = ""


def history_of(alert: Alert) -> list[Moment]:
    """All moments, oldest first."""
    known = (
        (alert.began_at, AlertMoment.BEGAN, ""),
        (alert.fired_at, AlertMoment.FIRED, ""),
        (alert.announced_at, AlertMoment.TOLD, ""),
        (alert.acknowledged_at, AlertMoment.ACKNOWLEDGED, alert.acknowledged_by),
        (alert.resolved_at, AlertMoment.RESOLVED, ""),
    )
    moments = [Moment(at, event, by) for at, event, by in known if at is not None]
    moments += map(_moment, _entries(alert))
    return sorted(moments, key=lambda moment: (moment.at, ORDER.index(moment.event)))


def _entries(alert: Alert) -> list[AuditEntry]:
    is_assigned = Q(action="alert.assigned", target_kind="alert", target_id=str(alert.pk))
    return list(AuditEntry.objects.filter(is_assigned | Q(action="mute.created", data__alert=alert.pk)))


def _moment(entry: AuditEntry) -> Moment:
    if entry.action == "alert.assigned":
        return Moment(entry.at, AlertMoment.ASSIGNED, entry.actor_name, entry.data.get("assignee", ""))
    return Moment(entry.at, AlertMoment.MUTED, entry.actor_name, f"Until {entry.data.get('until', '')}.")
