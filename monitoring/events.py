"""Events of subjects: seen by the sampler on workloads, or told by apps (`record`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from hub.nodes.choices import LIVE, ObservedStatus

from .models import Event

SHOWN = 200
BAD = frozenset({ObservedStatus.CRASHED, ObservedStatus.FAILED, ObservedStatus.LOST})


@dataclass(frozen=True)
class Look:
    """What is compared from one look at a workload to the next."""

    status: str
    reason: str
    restarts: int
    started_at: datetime | None


def record(subject: str, kind: str, text: str = "", *, at: datetime | None = None) -> Event:
    """Keep an event, to be marked in the charts of its subject."""
    return Event.objects.create(subject=subject, kind=kind, text=text[:300], at=at or timezone.now())


def between(subjects: Sequence[str], start: datetime, end: datetime) -> list[Event]:
    """The newest events of these subjects in a range, oldest first."""
    rows = Event.objects.filter(subject__in=subjects, at__gte=start, at__lt=end)[:SHOWN]
    return sorted(rows, key=lambda event: event.at)


def notice(before: dict[str, Look], now: dict[str, Look]) -> None:
    """Record what has happened between two looks at the workloads of a node."""
    found: list[Event] = []
    for subject, look in now.items():
        if subject in before:
            found += _changes(subject, before[subject], look)
    if found:
        Event.objects.bulk_create(found)


def _changes(subject: str, old: Look, new: Look) -> Iterable[Event]:
    moment = timezone.now()
    has_crashed = new.restarts > old.restarts or (new.status in BAD and old.status not in BAD)
    if has_crashed:
        yield Event(subject=subject, kind=Event.Kind.CRASHED, text=new.reason[:300], at=moment)
    if new.started_at and new.started_at != old.started_at:
        yield Event(subject=subject, kind=Event.Kind.STARTED, at=new.started_at)
    if new.status == ObservedStatus.UNHEALTHY != old.status:
        yield Event(subject=subject, kind=Event.Kind.UNHEALTHY, text=new.reason[:300], at=moment)
    if new.status == ObservedStatus.STOPPED and (old.status in LIVE or old.status == ObservedStatus.STOPPING):
        yield Event(subject=subject, kind=Event.Kind.STOPPED, at=moment)
