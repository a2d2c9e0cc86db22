"""A challenge that is launched for every team of an event: who asked for it, how far it is, what came of each team."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from challenges.querysets import DeployRunQuerySet

from .content import Challenge
from .events import Event


class DeployRun(models.Model):
    """The row is the truth and the job only its messenger: what a dead worker leaves, another takes up."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deploy_runs")
    challenge = models.ForeignKey(Challenge, on_delete=models.CASCADE, related_name="+")
    is_forced = models.BooleanField(default=False, help_text="What runs is made anew.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    actor_name = models.CharField(max_length=150)
    waiting = ArrayField(models.BigIntegerField(), help_text="Teams whose turn comes yet.")
    results = models.JSONField(default=list, help_text="What came of each of the others.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    objects = DeployRunQuerySet.as_manager()

    class Meta:
        verbose_name = "deploy for all teams"
        verbose_name_plural = "deploys for all teams"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["created_at"], name="deploy_run_open", condition=Q(finished_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.challenge} for all teams of {self.event}"

    def get_absolute_url(self) -> str:
        return reverse("challenges:instance_deploy_run", args=[self.event.slug, self.pk])

    @property
    def total(self) -> int:
        return len(self.waiting) + len(self.results)

    @property
    def launched(self) -> int:
        return len(self.results) - len(self.failures)

    @property
    def failures(self) -> list[Any]:
        return [each for each in self.results if each["error"]]
