"""Figures of the whole fleet: how many devices there are, how they call, what they run.

One statement counts them by all four at once, and everything that tells a total of devices is added up from its rows:
pages, tabs of lists, the overview. Of a large fleet the rows are kept for some seconds, because counting a hundred
thousand devices takes longer than all else on a page together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django.core.cache import cache
from django.db.models import Count

from accounts.permissions import can, group_limit, region_limit
from hub.statements import statement, totals

from .choices import DeviceStatus, KeyState, Liveness
from .deployments.choices import DeploymentStatus, TargetStatus
from .deployments.models import Deployment, DeploymentTarget
from .models import Device

MOST_VERSIONS = 20
LATEST = 8
LARGE = 5_000
KEPT_SECONDS = 5


@dataclass(frozen=True)
class Fleet:
    """What the overview shows. Liveness, health and versions are of accepted devices."""

    total: int
    by_status: dict[str, int] = field(default_factory=dict)
    by_liveness: dict[str, int] = field(default_factory=dict)
    by_health: dict[str, int] = field(default_factory=dict)
    by_version: dict[str, int] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.by_status.get(DeviceStatus.ACCEPTED, 0)

    @property
    def overdue(self) -> int:
        return self.by_liveness.get(Liveness.OVERDUE, 0)

    @property
    def unwell(self) -> int:
        return self.by_health.get("degraded", 0) + self.by_health.get("error", 0)

    @property
    def versions(self) -> list[tuple[str, int, int]]:
        """Versions with the number of devices and their share in per cent, the most frequent first."""
        whole = max(1, self.accepted)
        return [(version, number, round(100 * number / whole)) for version, number in self.by_version.items()]

    @property
    def online(self) -> int:
        return self.by_liveness.get(Liveness.ONLINE, 0)

    @property
    def offline(self) -> int:
        return self.by_liveness.get(Liveness.OFFLINE, 0)

    @property
    def pending(self) -> int:
        return self.by_status.get(DeviceStatus.PENDING, 0)


Counted = list[tuple[str, str, str, str, int]]
"""Status, liveness, health and version, and how many devices there are of these."""


def count(user: Any) -> Counted:
    """The devices that the person may see, by all that figures are made of."""
    counted = statement(("fleet", user.reach), lambda: _grouped(user))
    key = f"fleet:{sha256(repr(sight(user)).encode()).hexdigest()}"
    kept: Counted | None = cache.get(key)
    if kept is None:
        kept = [(str(a), str(b), c or "", d or "", number) for a, b, c, d, number in counted.rows()]
        if sum(number for *_, number in kept) >= LARGE:
            cache.set(key, kept, KEPT_SECONDS)
    return kept


def sight(user: Any) -> list[str] | None:
    """What decides which devices a person sees, so that those who see the same share what was counted."""
    if not can(user, "devices.view"):
        return []
    regions, groups = region_limit(user), group_limit(user)
    if groups is not None:
        return ["groups", *sorted(groups), "regions", *sorted(regions or ())]
    return None if regions is None else sorted(regions)


def _grouped(user: Any) -> Any:
    rows: Any = Device.objects.visible_to(user).with_liveness().order_by()
    return rows.values_list("status", "liveness", "beat__health", "beat__bundle_version").annotate(number=Count("pk"))


def figures(user: Any) -> Fleet:
    """Those of the devices that the person may see."""
    counted = count(user)
    by_status = _by(counted, 0)
    accepted = [row for row in counted if row[0] == DeviceStatus.ACCEPTED]
    return Fleet(
        total=sum(by_status.values()) - by_status.get(DeviceStatus.DECOMMISSIONED, 0),
        by_status={status: by_status.get(status, 0) for status in DeviceStatus.values},
        by_liveness=_filled(_by(accepted, 1)),
        by_health=_by(accepted, 2),
        by_version=dict(list(_by(accepted, 3).items())[:MOST_VERSIONS]),
    )


def tab_counts(user: Any) -> dict[str, int]:
    """How many devices each tab of the list holds. Those to decide about are few, and never told late."""
    fleet = figures(user)
    counted = statement(("devices waiting", user.reach), lambda: totals(waiting(user), number=Count("pk"))).rows()
    return {
        "": sum(fleet.by_status.values()),
        "waiting": counted[0][0] if counted else 0,
        "accepted": fleet.accepted,
        "offline": fleet.offline,
        "unwell": fleet.unwell,
    }


def waiting(user: Any) -> Any:
    """As a union, because each half has its index and "one or the other" would look at every device."""
    pending = Device.objects.filter(status=DeviceStatus.PENDING).order_by().values("pk")
    proposing = Device.objects.filter(keys__state=KeyState.PROPOSED).order_by().values("pk")
    return Device.objects.visible_to(user).filter(pk__in=pending.union(proposing))


def open_deployments(user: Any) -> list[Any]:
    """Those that are scheduled or under way, the newest first, with their counts."""
    rows = Deployment.objects.visible_to(user).filter(status__in=(DeploymentStatus.SCHEDULED, DeploymentStatus.RUNNING))
    return list(rows.select_related("bundle").with_counts().order_by("-created_at")[:LATEST])


def recent_failures(user: Any) -> list[DeploymentTarget]:
    """Targets that failed or fell back, the newest first."""
    rows = DeploymentTarget.objects.visible_to(user).filter(status__in=(TargetStatus.FAILED, TargetStatus.ROLLED_BACK))
    return list(rows.select_related("device", "bundle").order_by("-finished_at")[:LATEST])


def _by(counted: Counted, column: int) -> dict[str, int]:
    """How many there are of each value of a column, the most frequent first."""
    found: dict[str, int] = {}
    for *values, number in counted:
        value = str(values[column])
        found[value] = found.get(value, 0) + int(number)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _filled(found: dict[str, int]) -> dict[str, int]:
    return {each: found.get(each, 0) for each in Liveness.values}
