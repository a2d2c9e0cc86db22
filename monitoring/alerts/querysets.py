"""Named filters of rules, alerts, mutes, channels and deliveries."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from accounts.models import User
from accounts.permissions import can, region_limit
from accounts.roles import STAFF_ROLES

from .choices import OPEN, AlertState, DeliveryState


def watchers() -> models.QuerySet[User]:
    """Those who see alerts, and to whom one can be assigned."""
    return User.objects.filter(groups__name__in=STAFF_ROLES, is_active=True).distinct().order_by("username")


class RuleQuerySet(models.QuerySet[Any]):
    """Filters of rules."""

    def visible_to(self, user: Any) -> RuleQuerySet:
        return self if can(user, "alerts.view") else self.none()


class AlertQuerySet(models.QuerySet[Any]):
    """Filters of alerts."""

    def visible_to(self, user: Any) -> AlertQuerySet:
        """What has fired, for those who watch; an Operator of regions sees those regions, and what is in none."""
        if not can(user, "alerts.view"):
            return self.none()
        rows = self.exclude(state=AlertState.PENDING)
        regions = region_limit(user)
        return rows if regions is None else rows.filter(Q(region_slug="") | Q(region_slug__in=regions))

    def open(self) -> AlertQuerySet:
        return self.filter(state__in=OPEN)

    def over(self) -> AlertQuerySet:
        return self.filter(state=AlertState.RESOLVED)

    def firing(self) -> AlertQuerySet:
        return self.filter(state=AlertState.FIRING)


class MuteQuerySet(models.QuerySet[Any]):
    """Filters of mutes."""

    def visible_to(self, user: Any) -> MuteQuerySet:
        return self if can(user, "alerts.view") else self.none()

    def at(self, moment: Any) -> MuteQuerySet:
        """Those in force then."""
        return self.filter(starts_at__lte=moment, ends_at__gt=moment)


class ChannelQuerySet(models.QuerySet[Any]):
    """Filters of channels."""

    def visible_to(self, user: Any) -> ChannelQuerySet:
        return self if can(user, "channels.view") else self.none()


class DeliveryQuerySet(models.QuerySet[Any]):
    """Filters of deliveries."""

    def visible_to(self, user: Any) -> DeliveryQuerySet:
        return self if can(user, "channels.view") else self.none()

    def waiting(self) -> DeliveryQuerySet:
        return self.filter(state=DeliveryState.WAITING)

    def finished(self) -> DeliveryQuerySet:
        """Those that nothing needs any more: who was told that an alert fires is to be told of its end."""
        return self.exclude(state=DeliveryState.WAITING).exclude(alert__state__in=OPEN)

    def undelivered(self) -> DeliveryQuerySet:
        return self.exclude(state=DeliveryState.SENT)
