"""Configuration of groups and devices, and every version of it that there was."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from .querysets import DeviceConfigQuerySet
from .schema import DEFAULTS


def default_values() -> dict[str, Any]:
    return {**DEFAULTS, "settings": {}}


class GroupConfig(models.Model):
    """What a group's devices inherit. Of several groups the one of the higher priority overrides the others."""

    group = models.OneToOneField(
        "devices.DeviceGroup", on_delete=models.CASCADE, primary_key=True, related_name="configuration"
    )
    values = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "configuration of a group"

    def __str__(self) -> str:
        return f"configuration of {self.group}"


class DeviceConfig(models.Model):
    """What one device is to be set to: its own values, and what comes of them and its groups.

    `version` rises whenever the result changes; the version that the device has applied comes with its heartbeat. A
    device without a row has the defaults, version 1, and is sent nothing.
    """

    device = models.OneToOneField(
        "devices.Device", on_delete=models.CASCADE, primary_key=True, related_name="configuration"
    )
    values = models.JSONField(default=dict, blank=True, help_text="Its own; what is missing it inherits.")
    desired = models.JSONField(default=default_values, help_text="Defaults, groups and own values together.")
    version = models.PositiveIntegerField(default=1)
    applied_version = models.PositiveIntegerField(null=True, blank=True, help_text="What the device has said last.")
    applied_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True, help_text="Why the device could not apply it.")
    updated_at = models.DateTimeField(auto_now=True)

    objects = DeviceConfigQuerySet.as_manager()

    class Meta:
        verbose_name = "configuration of a device"

    def __str__(self) -> str:
        return f"configuration of {self.device_id}"


class ConfigRevision(models.Model):
    """A configuration as it was from then on; only added to."""

    device = models.ForeignKey(
        "devices.Device", on_delete=models.CASCADE, null=True, blank=True, related_name="config_revisions"
    )
    group = models.ForeignKey(
        "devices.DeviceGroup", on_delete=models.CASCADE, null=True, blank=True, related_name="config_revisions"
    )
    version = models.PositiveIntegerField()
    values = models.JSONField(default=dict)
    desired = models.JSONField(null=True, blank=True, help_text="The result, for a device.")
    note = models.CharField(max_length=300, blank=True)
    actor_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "revision of a configuration"
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["device", "version"], name="config_revision_of_device"),
            models.UniqueConstraint(fields=["group", "version"], name="config_revision_of_group"),
            models.CheckConstraint(
                condition=Q(device__isnull=True, group__isnull=False) | Q(device__isnull=False, group__isnull=True),
                name="config_revision_of_one",
            ),
        ]

    def __str__(self) -> str:
        return f"version {self.version}"
