"""Figures of the whole fleet: how many devices there are, how they call, what they run. One statement each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from .choices import DeviceStatus, Liveness
from .deployments.choices import DeploymentStatus, TargetStatus
from .deployments.models import Deployment, DeploymentTarget
from .models import Device

MOST_VERSIONS = 20
LATEST = 8


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


def figures(user: Any) -> Fleet:
    """Those of the devices that the person may see."""
    seen = Device.objects.visible_to(user).order_by()
    by_status = _counted(seen, "status")
    accepted = seen.accepted().with_liveness()
    return Fleet(
        total=sum(by_status.values()) - by_status.get(DeviceStatus.DECOMMISSIONED, 0),
        by_status={status: by_status.get(status, 0) for status in DeviceStatus.values},
        by_liveness=_filled(_counted(accepted, "liveness")),
        by_health=_counted(accepted, "beat__health"),
        by_version=dict(list(_counted(accepted, "beat__bundle_version").items())[:MOST_VERSIONS]),
    )


def open_deployments(user: Any) -> list[Any]:
    """Those that are scheduled or under way, the newest first, with their counts."""
    rows = Deployment.objects.visible_to(user).filter(status__in=(DeploymentStatus.SCHEDULED, DeploymentStatus.RUNNING))
    return list(rows.select_related("bundle").with_counts().order_by("-created_at")[:LATEST])


def recent_failures(user: Any) -> list[DeploymentTarget]:
    """Targets that failed or fell back, the newest first."""
    rows = DeploymentTarget.objects.visible_to(user).filter(status__in=(TargetStatus.FAILED, TargetStatus.ROLLED_BACK))
    return list(rows.select_related("device", "bundle").order_by("-finished_at")[:LATEST])


def _counted(rows: Any, name: str) -> dict[str, int]:
    """How many there are of each value, the most frequent first."""
    found = rows.values_list(name).annotate(number=Count("pk")).order_by("-number", name)
    return {str(value): number for value, number in found}


def _filled(found: dict[str, int]) -> dict[str, int]:
    return {each: found.get(each, 0) for each in Liveness.values}
