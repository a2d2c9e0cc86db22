"""Named filters of manual commands."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now

from accounts.permissions import can
from devices.limits import within

from .choices import MOST_OFFERS, OPEN, CommandStatus


class ManualCommandQuerySet(models.QuerySet[Any]):
    """Filters of manual commands."""

    def visible_to(self, user: Any) -> ManualCommandQuerySet:
        """Those of the devices that one may see."""
        if not can(user, "devices.view"):
            return self.none()
        return within(self, user, "device")

    def open(self) -> ManualCommandQuerySet:
        return self.filter(status__in=OPEN)

    def past(self) -> ManualCommandQuerySet:
        """Those that wait and whose time is over."""
        return self.filter(status=CommandStatus.WAITING, expires_at__lt=Now())

    def unanswered(self) -> ManualCommandQuerySet:
        """Those that were offered often enough, or too long ago, and of which nothing was heard."""
        silent = self.filter(status=CommandStatus.OFFERED, lease_until__lt=Now())
        return silent.filter(models.Q(offers__gte=MOST_OFFERS) | models.Q(expires_at__lt=Now()))
