"""Series and the agents that feed them. Samples and rollups are partitioned tables without a model: see `tables`."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now


class Series(models.Model):
    """Everything measured of one subject, such as `node:local` or `server:<id>`; monitoring knows no more of it."""

    id = models.AutoField(primary_key=True)  # every sample holds it: four bytes, not eight
    subject = models.CharField(max_length=120, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "series"
        ordering = ["subject"]

    def __str__(self) -> str:
        return self.subject


class Feed(models.Model):
    """One agent's stream of batches: the number stored last moves in the same transaction as the samples."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80, help_text="The node whose agent it is.")
    sequence = models.BigIntegerField(default=0)
    at = models.DateTimeField(db_default=Now(), help_text="When it last delivered.")
    waiting = models.PositiveIntegerField(default=0, help_text="Batches still in the agent's buffer.")
    dropped = models.PositiveBigIntegerField(default=0, help_text="Batches that its full buffer had to drop.")

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["name", "-at"], name="monitoring_feed_name")]

    def __str__(self) -> str:
        return f"{self.name} {self.sequence}"


class Stale(models.Model):
    """A minute or hour whose rollup must be made (again), because samples of it have been stored.

    Every batch adds its own rows. A row is deleted in the transaction that makes the rollup, so samples whose row is
    not to be seen yet are rolled up when it is.
    """

    class Resolution(models.TextChoices):
        MINUTE = "minute", "Minute"
        HOUR = "hour", "Hour"

    resolution = models.CharField(max_length=6, choices=Resolution.choices)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["resolution", "at"], name="monitoring_stale_at")]

    def __str__(self) -> str:
        return f"{self.resolution} {self.at:%Y-%m-%d %H:%M}"


class Event(models.Model):
    """Something that happened to a subject and is marked in its charts."""

    class Kind(models.TextChoices):
        STARTED = "started", "Started"
        STOPPED = "stopped", "Stopped"
        CRASHED = "crashed", "Crashed"
        UNHEALTHY = "unhealthy", "Unhealthy"
        DEPLOYED = "deployed", "Deployed"
        NOTE = "note", "Note"

    subject = models.CharField(max_length=120)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    text = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["subject", "-at"], name="monitoring_event_newest")]

    def __str__(self) -> str:
        return f"{self.subject} {self.kind}"


from .alerts.models import Alert, AlertRule, Channel, Delivery, Mute  # noqa: E402, F401 - models of this app, kept apart
from .errors.models import ErrorGroup, ErrorReport  # noqa: E402, F401 - models of this app, kept apart
