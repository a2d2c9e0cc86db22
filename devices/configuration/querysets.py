"""Named filters of configurations."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q

from accounts.permissions import can
from devices.limits import within


class DeviceConfigQuerySet(models.QuerySet[Any]):
    """Filters of devices' configurations."""

    def visible_to(self, user: Any) -> DeviceConfigQuerySet:
        if not can(user, "devices.view"):
            return self.none()
        return within(self, user, "device")

    def drifting(self) -> DeviceConfigQuerySet:
        """Those whose device has not said that it applied the present version."""
        behind = Q(device__beat__config_version=None) | ~Q(device__beat__config_version=F("version"))
        return self.filter(behind)
