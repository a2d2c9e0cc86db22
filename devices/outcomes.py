"""What became of deployments: of the last seven days, day by day, with how much of it was proven.

Counted from the events of targets, which are only added to and found by their time, so a large fleet is not looked
through. What was counted is kept for some seconds when there is much of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Final

from django.core.cache import cache
from django.db.models import Avg, Count, F, Max
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.permissions import can

from .bundles.models import Bundle
from .deployments.choices import DeploymentKind, DeploymentStatus, TargetStatus
from .deployments.models import Deployment, DeploymentTarget, TargetEvent
from .fleet import KEPT_SECONDS, LARGE, sight
from .limits import is_limited, within

DAYS: Final = 7
T = TargetStatus
ENDS: Final = (T.SUCCEEDED, T.FAILED, T.ROLLED_BACK)


@dataclass(frozen=True)
class Day:
    """How many deployments to single devices ended on a day, by how; each once, as it ended last."""

    day: date
    succeeded: int = 0
    failed: int = 0
    rolled_back: int = 0

    @property
    def total(self) -> int:
        return self.succeeded + self.failed + self.rolled_back


@dataclass(frozen=True)
class Outcomes:
    """Seven days of deployments, the oldest day first, and what there is now."""

    days: list[Day]
    bundles: int
    active_deployments: int
    deployments_24h: int
    mean_rollback_seconds: float | None

    @property
    def most(self) -> int:
        """The longest bar of the chart."""
        return max(day.total for day in self.days)

    @property
    def total(self) -> int:
        return sum(day.total for day in self.days)

    @property
    def success_percent(self) -> float | None:
        """How much of what ended was proven; None when nothing ended."""
        return round(100 * sum(day.succeeded for day in self.days) / self.total, 1) if self.total else None


def outcomes(user: Any) -> Outcomes:
    """Those of the devices and deployments that the person may see."""
    seen, now = Deployment.objects.visible_to(user), timezone.now()
    recent = seen.order_by().filter(created_at__gt=now - timedelta(days=DAYS))
    rollbacks = DeploymentTarget.objects.visible_to(user).filter(
        deployment__in=recent.filter(kind=DeploymentKind.ROLLBACK), status=T.SUCCEEDED
    )
    mean = rollbacks.aggregate(mean=Avg(F("finished_at") - F("deployment__created_at")))["mean"]
    return Outcomes(
        days=_days(user),
        bundles=Bundle.objects.visible_to(user).ready().count(),
        active_deployments=seen.filter(status=DeploymentStatus.RUNNING).count(),
        deployments_24h=recent.filter(created_at__gt=now - timedelta(hours=24)).count(),
        mean_rollback_seconds=round(mean.total_seconds(), 1) if mean is not None else None,
    )


def _days(user: Any) -> list[Day]:
    """By the days of the zone that the person sees times in."""
    last = timezone.localdate()
    days = [last - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    said = f"{sight(user)} {timezone.get_current_timezone_name()} {last}"
    key = f"outcomes:{sha256(said.encode()).hexdigest()}"
    found: dict[date, dict[str, int]] | None = cache.get(key)
    if found is None:
        found = _count(user, days[0])
        if sum(sum(ends.values()) for ends in found.values()) >= LARGE:
            cache.set(key, found, KEPT_SECONDS)
    return [Day(day, **found.get(day, {})) for day in days]


def _count(user: Any, first: date) -> dict[date, dict[str, int]]:
    if not can(user, "deployments.view"):
        return {}
    begins = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    begins -= timedelta(days=(begins.date() - first).days)
    rows = TargetEvent.objects.order_by().filter(at__gte=begins, status__in=ENDS)
    if is_limited(user):
        rows = within(rows, user, "target__device")
    found: dict[date, dict[str, int]] = {}
    last = rows.values("target").annotate(last=Max("pk")).values("last")
    counted = (
        rows.filter(pk__in=last).annotate(day=TruncDate("at")).values_list("day", "status").annotate(number=Count("pk"))
    )
    for day, status, number in counted:
        found.setdefault(day, {})[status] = number
    return found
