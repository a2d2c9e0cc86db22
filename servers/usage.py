"""What an owner uses now, in one query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import Now

from accounts.roles import QuotaLimits
from hub.nodes.choices import ObservedStatus

from .models import GameServer

if TYPE_CHECKING:
    from accounts.models import User

ALIVE = ~Q(observed_status=ObservedStatus.DELETED)
SUMS = ("memory_mb", "cpu_percent", "disk_mb")


@dataclass(frozen=True)
class Usage:
    """Totals of live servers, running or not, and what was created within the last hour, deleted since or not."""

    totals: QuotaLimits
    created_lately: int
    first_lately: datetime | None
    has_name: bool = False


def of_owner(owner: User, *, name: str | None = None) -> Usage:
    """Count; exact when the owner is locked."""
    lately = Q(created_at__gt=Now() - timedelta(hours=1))
    counts: dict[str, Any] = {"servers": Count("pk", filter=ALIVE)}
    counts |= {f"{field}_sum": Sum(field, filter=ALIVE) for field in SUMS}
    counts |= {"lately": Count("pk", filter=lately), "first_lately": Min("created_at", filter=lately)}
    if name is not None:
        counts["same_name"] = Count("pk", filter=ALIVE & Q(name__iexact=name))
    found = GameServer.objects.filter(ALIVE | lately, owner=owner).aggregate(**counts)
    totals = QuotaLimits(servers=found["servers"], **{field: found[f"{field}_sum"] or 0 for field in SUMS})
    return Usage(totals, found["lately"], found["first_lately"], bool(found.get("same_name")))


def add(one: QuotaLimits, other: QuotaLimits) -> QuotaLimits:
    """The sum of two usages."""
    return QuotaLimits(
        **{field.name: (getattr(one, field.name) or 0) + (getattr(other, field.name) or 0) for field in fields(one)}
    )
