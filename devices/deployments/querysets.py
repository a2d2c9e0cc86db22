"""Named filters of deployments and their targets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q
from django.db.models.functions import Now

from accounts.permissions import can
from devices.limits import is_limited, within
from devices.querysets import OFFLINE_FACTOR, silent_since

from .choices import ACTIVE, NOT_BEGUN, OPEN, SILENCE_SECONDS, DeploymentStatus, TargetStatus

T = TargetStatus


class DeploymentQuerySet(models.QuerySet[Any]):
    """Filters of deployments."""

    def visible_to(self, user: Any) -> DeploymentQuerySet:
        """All for those who watch; for who is limited those that concern a device he sees."""
        if not can(user, "deployments.view"):
            return self.none()
        if not is_limited(user):
            return self
        targets = self.model._meta.get_field("targets").related_model
        there = targets._base_manager.filter(deployment=OuterRef("pk"))
        return self.filter(Exists(within(there, user, "device")))

    def with_counts(self) -> DeploymentQuerySet:
        """How many targets there are, and how many stand where."""
        return self.annotate(
            total=Count("targets"),
            open_count=Count("targets", filter=Q(targets__status__in=OPEN)),
            active_count=Count("targets", filter=Q(targets__status__in=ACTIVE)),
            done_count=Count("targets", filter=Q(targets__status=T.SUCCEEDED)),
            failed_count=Count("targets", filter=Q(targets__status__in=(T.FAILED, T.ROLLED_BACK))),
        )

    def due(self) -> DeploymentQuerySet:
        return self.filter(status=DeploymentStatus.SCHEDULED, starts_at__lte=Now())

    def complete(self) -> DeploymentQuerySet:
        """Those under way of which no target is open."""
        targets = self.model._meta.get_field("targets").related_model
        still_open = targets._base_manager.filter(deployment=OuterRef("pk"), status__in=OPEN)
        return self.filter(~Exists(still_open), status=DeploymentStatus.RUNNING)


class TargetQuerySet(models.QuerySet[Any]):
    """Filters of targets."""

    def visible_to(self, user: Any) -> TargetQuerySet:
        if not can(user, "deployments.view"):
            return self.none()
        return within(self, user, "device")

    def open(self) -> TargetQuerySet:
        return self.filter(status__in=OPEN)

    def active(self) -> TargetQuerySet:
        return self.filter(status__in=ACTIVE)

    def not_begun(self) -> TargetQuerySet:
        return self.filter(status__in=NOT_BEGUN)

    def good(self) -> TargetQuerySet:
        """Proven successes, newest first."""
        return self.filter(status=T.SUCCEEDED).order_by("-finished_at", "-id")

    def history(self) -> TargetQuerySet:
        """What was tried on a device, newest first."""
        return self.filter(status__in=(T.SUCCEEDED, T.FAILED, T.ROLLED_BACK)).order_by("-finished_at", "-id")

    def late(self) -> TargetQuerySet:
        """Those whose device had time enough: to take it at all, to call again and be offered it anew, to work, to
        say after its soak time that it is well, or that it has stopped when it was called off."""
        too_old = Now() - timedelta(days=settings.HUB_DEPLOYMENT_DAYS)
        silent = Now() - timedelta(seconds=SILENCE_SECONDS)
        never_called = silent_since(OFFLINE_FACTOR, SILENCE_SECONDS, prefix="device__beat__")
        return self.filter(
            Q(status=T.WAITING, deployment__started_at__lt=too_old)
            | Q(status=T.OFFERED, lease_until__lt=never_called)
            | Q(status__in=(T.DOWNLOADING, T.INSTALLING), deadline_at__lt=Now())
            | Q(status=T.SOAKING, soak_until__lt=silent)
            | Q(status=T.CANCELLING, deployment__finished_at__lt=too_old)
        )
