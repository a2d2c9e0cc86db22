"""Named filters of devices, their keys, groups, enrolment tokens and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Case, Count, F, Func, Q, Value, When
from django.db.models.functions import Cast, Now

from accounts.permissions import can, group_limit, region_limit

from .choices import USABLE_KEYS, DeviceStatus, KeyState, Liveness
from .limits import within

if TYPE_CHECKING:
    from .models import (  # noqa: F401 - base classes name them as strings
        Device,
        DeviceGroup,
        DeviceKey,
        DeviceLog,
        EnrolmentToken,
    )

ONLINE_FACTOR, ONLINE_GRACE_SECONDS = 1.5, 15
OFFLINE_FACTOR, OFFLINE_GRACE_SECONDS = 3, 60
"""A device is online until one and a half of its intervals have passed, and offline after three, and some seconds."""


def _seconds(expression: Any) -> Any:
    """Seconds as a span of time. Of floats: with exact decimals a fleet takes twice as long to count."""
    return Func(expression, template="make_interval(secs => %(expressions)s)", output_field=models.DurationField())


def silent_since(factor: float, grace: int, *, prefix: str = "beat__") -> Any:
    """The moment before which a device must have been heard last, to be silent for so many intervals."""
    span = _seconds(Cast(F(f"{prefix}interval_seconds"), models.FloatField()) * float(factor) + float(grace))
    return models.ExpressionWrapper(Now() - span, output_field=models.DateTimeField())


class DeviceQuerySet(models.QuerySet["Device"]):
    """Filters of devices."""

    def visible_to(self, user: Any) -> DeviceQuerySet:
        """All for those who may see devices; those of his regions or groups for who is limited to some."""
        if not can(user, "devices.view"):
            return self.none()
        return within(self, user)

    def accepted(self) -> DeviceQuerySet:
        return self.filter(status=DeviceStatus.ACCEPTED)

    def waiting(self) -> DeviceQuerySet:
        """Those that somebody has to decide about."""
        return self.filter(Q(status=DeviceStatus.PENDING) | Q(keys__state=KeyState.PROPOSED)).distinct()

    def present(self) -> DeviceQuerySet:
        """Without those that are gone for good."""
        return self.exclude(status=DeviceStatus.DECOMMISSIONED)

    def with_liveness(self) -> DeviceQuerySet:
        """Add what the time since the last heartbeat says, by the database's clock."""
        return self.annotate(
            liveness=Case(
                When(beat__last_seen_at=None, then=Value(Liveness.NEVER)),
                When(
                    beat__last_seen_at__gte=silent_since(ONLINE_FACTOR, ONLINE_GRACE_SECONDS),
                    then=Value(Liveness.ONLINE),
                ),
                When(
                    beat__last_seen_at__gte=silent_since(OFFLINE_FACTOR, OFFLINE_GRACE_SECONDS),
                    then=Value(Liveness.OVERDUE),
                ),
                default=Value(Liveness.OFFLINE),
                output_field=models.CharField(),
            )
        )

    def with_details(self) -> DeviceQuerySet:
        """Fetch what lists show in one query."""
        return self.select_related("region", "beat").with_liveness()


class DeviceGroupQuerySet(models.QuerySet["DeviceGroup"]):
    """Filters of groups."""

    def visible_to(self, user: Any) -> DeviceGroupQuerySet:
        """Names of groups are no secret among those who may see devices; their members are those one sees."""
        if not can(user, "devices.view"):
            return self.none()
        groups = group_limit(user)
        return self if groups is None else self.filter(slug__in=groups)

    def with_members(self, user: Any) -> DeviceGroupQuerySet:
        """Add how many of its devices the person sees."""
        regions = region_limit(user)
        seen = None if regions is None else Q(devices__region__slug__in=regions)
        return self.annotate(members=Count("devices", filter=seen))


class DeviceKeyQuerySet(models.QuerySet["DeviceKey"]):
    """Filters of keys."""

    def usable(self) -> DeviceKeyQuerySet:
        """Those whose signatures are taken."""
        return self.filter(Q(retires_at=None) | Q(retires_at__gt=Now()), state__in=USABLE_KEYS)


class EnrolmentTokenQuerySet(models.QuerySet["EnrolmentToken"]):
    """Filters of enrolment tokens."""

    def visible_to(self, user: Any) -> EnrolmentTokenQuerySet:
        """All for those who may change devices; those into his regions for an Operator who is limited to some."""
        if not can(user, "devices.change"):
            return self.none()
        regions = region_limit(user)
        return self if regions is None else self.filter(region__slug__in=regions)

    def usable(self) -> EnrolmentTokenQuerySet:
        return self.filter(revoked_at=None, expires_at__gt=Now(), uses__lt=F("most_uses"))


class DeviceLogQuerySet(models.QuerySet["DeviceLog"]):
    """Filters of log lines."""

    def visible_to(self, user: Any) -> DeviceLogQuerySet:
        """The lines of the devices that one may see."""
        if not can(user, "devices.view"):
            return self.none()
        return within(self, user, "device")
