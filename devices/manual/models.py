"""One command for one device, and what came of it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from devices.packaging.manifest import COMMAND

from .choices import ARGUMENT_LENGTH, ERROR_LENGTH, OPEN, TIMEOUT_SECONDS, CommandStatus
from .querysets import ManualCommandQuerySet


class ManualCommand(models.Model):
    """Offered with a heartbeat, in the order they were made; done at most once, because the agent knows its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    device = models.ForeignKey(
        "devices.Device", on_delete=models.CASCADE, related_name="manual_commands", db_index=False
    )
    name = models.CharField(max_length=40, validators=[RegexValidator(COMMAND)])
    arguments = ArrayField(models.CharField(max_length=ARGUMENT_LENGTH, blank=True), default=list, blank=True)
    timeout_seconds = models.PositiveSmallIntegerField(
        default=300, validators=[MinValueValidator(TIMEOUT_SECONDS[0]), MaxValueValidator(TIMEOUT_SECONDS[1])]
    )
    status = models.CharField(max_length=9, choices=CommandStatus.choices, default=CommandStatus.WAITING)
    offers = models.PositiveSmallIntegerField(default=0)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(help_text="Not begun after this.")
    lease_until = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_message = models.CharField(max_length=ERROR_LENGTH, blank=True)
    output = models.TextField(blank=True)

    objects = ManualCommandQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["device", "created_at"], condition=Q(status__in=OPEN), name="manual_open_of_device"),
            models.Index(fields=["device", "-created_at", "-id"], name="manual_of_device"),
            models.Index(fields=["expires_at"], condition=Q(status__in=OPEN), name="manual_open"),
            models.Index(fields=["-finished_at"], name="manual_finished"),
        ]

    def __str__(self) -> str:
        return " ".join([self.name, *self.arguments])

    @property
    def region_slug(self) -> str | None:
        return self.device.region_slug
