"""Log lines that devices send."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from ..choices import LogLevel
from ..querysets import DeviceLogQuerySet
from .devices import Device

MESSAGE_LENGTH = 2000


class DeviceLog(models.Model):
    """One line. Its time is the device's; when it arrived is ours."""

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="logs", db_index=False)
    at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    level = models.CharField(max_length=7, choices=LogLevel.choices)
    source = models.CharField(max_length=50, blank=True)
    message = models.CharField(max_length=MESSAGE_LENGTH)

    objects = DeviceLogQuerySet.as_manager()

    class Meta:
        verbose_name = "device log line"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["device", "-at", "-id"], name="devices_log_newest"),
            models.Index(fields=["-at", "-id"], name="devices_log_fleet"),
            BrinIndex(fields=["received_at"], name="devices_log_received"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.level} {self.message[:60]}"
