"""Devices with what they are, the narrow row that each heartbeat writes, and static groups."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Func, Q, Value
from django.db.models.functions import Now
from django.urls import reverse

from hub.nodes.models import Region

from ..choices import POLLING_SECONDS_BOUNDS, DeviceStatus
from ..querysets import DeviceGroupQuerySet, DeviceQuerySet
from ..validators import validate_tag

DEFAULT_POLLING_SECONDS = 60


def next_number(sequence: str) -> Func:
    """The next of a sequence of 32 bits, made by the migration of the table that has it as a default."""
    return Func(Value(sequence), function="nextval")


class IdentityValues(Func):
    """The values of an identity without their names: what people read from a label and search by."""

    function = "jsonb_path_query_array"
    template = "%(function)s(%(expressions)s, '$.*')"
    output_field = models.JSONField()


class DeviceGroup(models.Model):
    """Devices chosen by hand, to be deployed to and configured together."""

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=80, unique=True)
    description = models.CharField(max_length=300, blank=True)
    priority = models.PositiveSmallIntegerField(
        default=0, help_text="Of several groups of a device the highest overrides the others."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = DeviceGroupQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("devices:group_detail", args=[self.slug])


class Device(models.Model):
    """One machine in the field. What changes with every heartbeat stands in `DeviceBeat`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(
        unique=True, editable=False, db_default=next_number("devices_device_number"), help_text="Short, for people."
    )
    name = models.CharField(max_length=100)
    identity = models.JSONField(default=dict, help_text="What the device says it is, such as a serial number.")
    identity_hash = models.CharField(max_length=64, unique=True, editable=False)
    region = models.ForeignKey(Region, on_delete=models.PROTECT, null=True, blank=True, related_name="devices")
    device_type = models.SlugField(max_length=50, blank=True)
    tags = ArrayField(models.CharField(max_length=40, validators=[validate_tag]), default=list, blank=True)
    groups = models.ManyToManyField(DeviceGroup, blank=True, related_name="devices")
    status = models.CharField(max_length=14, choices=DeviceStatus.choices, default=DeviceStatus.PENDING)
    status_reason = models.CharField(max_length=300, blank=True)
    hardware = models.JSONField(default=dict, blank=True, help_text="Reported: platform, processors, memory.")
    notes = models.TextField(max_length=2000, blank=True)
    registered_at = models.DateTimeField(db_default=Now(), editable=False)
    accepted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = DeviceQuerySet.as_manager()

    class Meta:
        ordering = ["name", "number"]
        indexes = [
            models.Index(fields=["name", "number"], name="devices_device_name"),
            models.Index(fields=["name", "id"], name="devices_device_pages"),
            models.Index(fields=["status", "-registered_at"], name="devices_device_status"),
            models.Index(fields=["-registered_at"], name="devices_device_newest"),
            models.Index(fields=["device_type"], name="devices_device_type"),
            GinIndex(fields=["tags"], name="devices_device_tags"),
            GinIndex(IdentityValues("identity"), name="devices_device_identity"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("devices:device_detail", args=[self.pk])

    @property
    def region_slug(self) -> str | None:
        return self.region.slug if self.region else None

    @property
    def subject(self) -> str:
        """Its key in monitoring."""
        return f"device:{self.pk}"


class DeviceBeat(models.Model):
    """What every heartbeat writes: narrow, without an index beside its key, so that the update stays on its page.

    The counter of signed requests stands here too, because the same UPDATE checks it.
    """

    device = models.OneToOneField(Device, on_delete=models.CASCADE, primary_key=True, related_name="beat")
    counter = models.BigIntegerField(default=0)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    interval_seconds = models.PositiveSmallIntegerField(
        default=DEFAULT_POLLING_SECONDS,
        validators=[MinValueValidator(POLLING_SECONDS_BOUNDS[0]), MaxValueValidator(POLLING_SECONDS_BOUNDS[1])],
        help_text="How often it is asked to call.",
    )
    health = models.CharField(max_length=50, blank=True)
    agent_version = models.CharField(max_length=50, blank=True)
    bundle_version = models.CharField(max_length=100, blank=True, help_text="The version it says that it runs.")
    config_version = models.PositiveIntegerField(null=True, blank=True, help_text="The version it says it has applied.")
    memory_mb = models.PositiveIntegerField(null=True, blank=True)
    cpu_percent = models.FloatField(null=True, blank=True)
    disk_percent = models.FloatField(null=True, blank=True)
    load = models.FloatField(null=True, blank=True)
    log_sequence = models.BigIntegerField(default=0, help_text="Number of the last batch of log lines stored.")
    noted = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        editable=False,
        help_text="Health, bundle and agent as they were when a change was last marked in the charts.",
    )

    class Meta:
        verbose_name = "heartbeat"
        constraints = [models.CheckConstraint(condition=Q(counter__gte=0), name="devices_beat_counter")]

    def __str__(self) -> str:
        return f"{self.device_id} {self.last_seen_at}"
