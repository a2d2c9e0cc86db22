"""Figures of the whole fleet: how many devices there are, how they call, what they run. One statement each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from .choices import DeviceStatus, Liveness
from .models import Device

MOST_VERSIONS = 20


@dataclass(frozen=True)
class Fleet:
    """What the overview shows. Liveness, health and versions are of accepted devices."""

    total: int
    by_status: dict[str, int] = field(default_factory=dict)
    by_liveness: dict[str, int] = field(default_factory=dict)
    by_health: dict[str, int] = field(default_factory=dict)
    by_version: dict[str, int] = field(default_factory=dict)

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


def _counted(rows: Any, name: str) -> dict[str, int]:
    """How many there are of each value, the most frequent first."""
    found = rows.values_list(name).annotate(number=Count("pk")).order_by("-number", name)
    return {str(value): number for value, number in found}


def _filled(found: dict[str, int]) -> dict[str, int]:
    return {each: found.get(each, 0) for each in Liveness.values}
