"""Devices that are not as they are wanted to be: another configuration applied, or another bundle running."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from .choices import DeviceStatus
from .configuration.models import DeviceConfig
from .deployments.choices import CONCERNS_DEVICE, TargetStatus
from .deployments.models import DeploymentTarget


class Drift(models.TextChoices):
    """What may differ between what a device says and what is wanted of it."""

    CONFIG = "config", "Configuration"
    BUNDLE = "bundle", "Bundle"


def drifting(rows: QuerySet[Any], kinds: Iterable[str]) -> QuerySet[Any]:
    """Those of the accepted devices that differ in any of these.

    The wanted bundle is that of the newest deployment that is under way on the device or was proven there; one that
    failed or was called off is wanted no more.
    """
    found = Q()
    if Drift.CONFIG in kinds:
        found |= Q(Exists(DeviceConfig.objects.all().drifting().filter(device=OuterRef("pk"))))
    if Drift.BUNDLE in kinds:
        wanted = DeploymentTarget.objects.filter(
            device=OuterRef("pk"), status__in=(*CONCERNS_DEVICE, TargetStatus.SUCCEEDED)
        )
        version = Subquery(wanted.order_by("-id").values("bundle__version")[:1])
        rows = rows.alias(wanted_version=version)
        found |= Q(wanted_version__isnull=False) & ~Q(wanted_version=F("beat__bundle_version"))
    return rows.filter(found, status=DeviceStatus.ACCEPTED)
