"""Unhandled errors: one row for each kind of failure, and the latest single ones."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse

from accounts.permissions import can


class ErrorQuerySet(models.QuerySet[Any]):
    """Filters of errors."""

    def visible_to(self, user: Any) -> ErrorQuerySet:
        return self if can(user, "errors.view") else self.none()


class ErrorGroup(models.Model):
    """Errors of one class that came about in the same place of the code."""

    class Source(models.TextChoices):
        WEB = "web", "Web"
        JOB = "job", "Job"

    fingerprint = models.CharField(max_length=32, unique=True)
    error_type = models.CharField(max_length=120)
    source = models.CharField(max_length=3, choices=Source.choices)
    place = models.CharField(max_length=250, help_text="The route, or what the job runs.")
    message = models.TextField(blank=True, help_text="Of the latest, without what looks like a secret.")
    traceback = models.TextField(blank=True)
    count = models.PositiveBigIntegerField(default=0)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)
    version = models.CharField(max_length=40, blank=True, help_text="Of the hub, when it came about last.")
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="Emptied when it comes about again.")
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = ErrorQuerySet.as_manager()

    class Meta:
        verbose_name = "error"
        ordering = ["-last_seen_at"]

    def __str__(self) -> str:
        return f"{self.error_type} in {self.place}"

    def get_absolute_url(self) -> str:
        return reverse("monitoring:error_detail", args=[self.pk])


class ErrorReport(models.Model):
    """One error, with the request or job that it ended."""

    group = models.ForeignKey(ErrorGroup, on_delete=models.CASCADE, related_name="reports")
    at = models.DateTimeField()
    message = models.TextField(blank=True)
    place = models.CharField(max_length=250)
    request_id = models.CharField(max_length=64, blank=True)
    job_id = models.CharField(max_length=64, blank=True)
    user = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = "single error"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.group_id} at {self.at:%Y-%m-%d %H:%M:%S}"
