"""What makes an event acceptable, and what time alone makes of its status."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError

from .choices import EventStatus

if TYPE_CHECKING:
    from .models import Event

WAITING = frozenset({EventStatus.APPROVED, EventStatus.SCHEDULED})
CLOCKED = frozenset({*WAITING, EventStatus.RUNNING, EventStatus.PAUSED})


def effective_status(status: str, starts_at: datetime, ends_at: datetime, now: datetime) -> str:
    """The state at a moment: what is scheduled runs from its start on, and what has begun ends at its end."""
    if status in CLOCKED and now >= ends_at:
        return EventStatus.COMPLETED
    if status in WAITING:
        return EventStatus.RUNNING if now >= starts_at else EventStatus.SCHEDULED
    return EventStatus(status)


def clean_event(event: Event) -> None:
    """Raise ValidationError with every field at fault."""
    errors: dict[str, str] = {}
    if event.starts_at and event.ends_at and event.ends_at <= event.starts_at:
        errors["ends_at"] = "The end must come after the start."
    elif event.freeze_at and not event.starts_at <= event.freeze_at <= event.ends_at:
        errors["freeze_at"] = "The scoreboard freezes between start and end."
    if event.node and event.region and event.node.region_id != event.region_id:
        errors["node"] = "This node stands in another region."
    if event.max_instances is not None and event.max_instances < 1:
        errors["max_instances"] = "Leave it empty for no limit."
    if errors:
        raise ValidationError(errors)
