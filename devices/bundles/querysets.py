"""Named filters of bundles and publishers' keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Sum
from django.db.models.functions import Coalesce, Now

from accounts.permissions import can

from .choices import BundleStatus

UPLOAD_HOURS = 24


class BundleQuerySet(models.QuerySet[Any]):
    """Filters of bundles."""

    def visible_to(self, user: Any) -> BundleQuerySet:
        """Who deploys names bundles, also a token that may do nothing else."""
        return self if can(user, "bundles.view") or can(user, "deployments.change") else self.none()

    def ready(self) -> BundleQuerySet:
        return self.filter(status=BundleStatus.READY)

    def abandoned(self) -> BundleQuerySet:
        """Uploads of which nothing has come for a day."""
        return self.filter(status=BundleStatus.UPLOADING, touched_at__lt=Now() - timedelta(hours=UPLOAD_HOURS))

    def stored_bytes(self) -> int:
        """What all of them take, those that are being uploaded at the length they will have."""
        kept = self.exclude(status=BundleStatus.REMOVED)
        asked: int = kept.aggregate(total=Coalesce(Sum("size_bytes"), 0))["total"]
        return asked


class PublisherKeyQuerySet(models.QuerySet[Any]):
    """Filters of publishers' keys."""

    def visible_to(self, user: Any) -> PublisherKeyQuerySet:
        return self if can(user, "bundles.view") or can(user, "publishers.change") else self.none()

    def trusted(self) -> PublisherKeyQuerySet:
        return self.filter(is_enabled=True)
