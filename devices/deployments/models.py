"""Deployments, one target for each of their devices, and what happened to each."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Func, Q, Value
from django.db.models.functions import Now
from django.urls import reverse

from devices.bundles.models import Bundle

from .choices import (
    ACTIVE,
    ATTEMPTS,
    CONCERNS_DEVICE,
    ENDED,
    SOAK_SECONDS,
    TIMEOUT_SECONDS,
    DeploymentKind,
    DeploymentStatus,
    TargetStatus,
)
from .querysets import DeploymentQuerySet, TargetQuerySet


def _between(bounds: tuple[int, int]) -> list[MinValueValidator | MaxValueValidator]:
    return [MinValueValidator(bounds[0]), MaxValueValidator(bounds[1])]


def next_target_number() -> Func:
    """Numbers of 32 bits, for clients that read them so; from a sequence that the migration makes."""
    return Func(Value("devices_target_number"), function="nextval")


class Deployment(models.Model):
    """A wish: these devices are to run this bundle, or each its own last good one."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=8, choices=DeploymentKind.choices, default=DeploymentKind.UPDATE)
    bundle = models.ForeignKey(
        Bundle,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="deployments",
        help_text="Empty: its own.",
    )
    description = models.CharField(max_length=300, blank=True)
    status = models.CharField(max_length=9, choices=DeploymentStatus.choices, default=DeploymentStatus.RUNNING)
    chosen = models.JSONField(default=dict, help_text="How its devices were chosen.")

    starts_at = models.DateTimeField(null=True, blank=True)
    window_starts_at = models.TimeField(null=True, blank=True, help_text="Offered only from then on each day …")
    window_minutes = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=_between((1, 1440)), help_text="… for so long."
    )
    window_timezone = models.CharField(max_length=50, blank=True, default="UTC")
    timeout_seconds = models.PositiveIntegerField(
        default=300,
        validators=_between(TIMEOUT_SECONDS),
        help_text="For one attempt; then it is offered again.",
    )
    soak_seconds = models.PositiveIntegerField(
        default=60, validators=_between(SOAK_SECONDS), help_text="How long it must be well and run the version."
    )
    max_attempts = models.PositiveSmallIntegerField(default=3, validators=_between(ATTEMPTS))
    allow_downgrade = models.BooleanField(default=False)
    rolls_back_on_failure = models.BooleanField(default=False, help_text="Send a device that failed back.")

    parent = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["-created_at"], name="deployment_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(window_starts_at=None, window_minutes=None)
                | Q(window_starts_at__isnull=False, window_minutes__isnull=False),
                name="deployment_whole_window",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.bundle}" if self.bundle_id else self.get_kind_display()

    def get_absolute_url(self) -> str:
        return reverse("devices:deployment_detail", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.status in (DeploymentStatus.SCHEDULED, DeploymentStatus.RUNNING)

    def is_window_open(self, moment: datetime) -> bool:
        """Whether commands may be handed out then; always without a window."""
        if self.window_starts_at is None or self.window_minutes is None:
            return True
        zone = ZoneInfo(self.window_timezone or "UTC")
        today = moment.astimezone(zone).date()
        for day in (today, today - timedelta(days=1)):  # one that began yesterday may still be open
            # Its length is counted in UTC: on the day of another offset the clock there repeats or leaves out an hour.
            begins = datetime.combine(day, self.window_starts_at, tzinfo=zone).astimezone(UTC)
            if begins <= moment < begins + timedelta(minutes=self.window_minutes):
                return True
        return False


class DeploymentTarget(models.Model):
    """One device of a deployment, with its lease and deadline, and how it ended."""

    number = models.PositiveIntegerField(unique=True, editable=False, db_default=next_target_number())
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="targets", db_index=False)
    device = models.ForeignKey("devices.Device", on_delete=models.CASCADE, related_name="targets", db_index=False)
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="targets")
    from_version = models.CharField(max_length=100, blank=True, help_text="What it said that it ran before.")
    status = models.CharField(max_length=11, choices=TargetStatus.choices, default=TargetStatus.WAITING)
    attempt = models.PositiveSmallIntegerField(default=1)
    offers = models.PositiveSmallIntegerField(default=0, help_text="How often this attempt was offered.")
    reports = models.PositiveIntegerField(default=0)
    progress_percent = models.PositiveSmallIntegerField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True, help_text="Until then a command is the device's.")
    deadline_at = models.DateTimeField(null=True, blank=True)
    soak_until = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=15, blank=True)
    error_message = models.CharField(max_length=2000, blank=True)
    output = models.TextField(blank=True, help_text="The end of what its script wrote.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    offered_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TargetQuerySet.as_manager()

    class Meta:
        verbose_name = "deployment target"
        ordering = ["deployment", "id"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "device"], name="target_once_per_device"),
            models.UniqueConstraint(
                fields=["device"], condition=Q(status__in=ACTIVE), name="target_one_active_per_device"
            ),
            models.UniqueConstraint(
                fields=["device"], condition=Q(status=TargetStatus.WAITING), name="target_one_waiting_per_device"
            ),
        ]
        indexes = [
            models.Index(fields=["device"], condition=Q(status__in=CONCERNS_DEVICE), name="target_work_of_device"),
            models.Index(fields=["device", "-finished_at"], name="target_history"),
            models.Index(fields=["deployment", "status"], name="target_board"),
        ]

    def __str__(self) -> str:
        return f"{self.bundle} on {self.device}"

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED

    @property
    def region_slug(self) -> str | None:
        return self.device.region_slug


class TargetEvent(models.Model):
    """One move of a target, or one word of its device."""

    target = models.ForeignKey(DeploymentTarget, on_delete=models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(db_default=Now(), editable=False)
    status = models.CharField(max_length=11, choices=TargetStatus.choices)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = "event of a target"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["target", "-id"], name="target_events"),
            BrinIndex(fields=["at"], name="target_events_at"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.status}"
