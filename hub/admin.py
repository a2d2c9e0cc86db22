"""The plumbing's rows in the admin: to look at, not to change."""

from __future__ import annotations

from django.contrib import admin

from .admin_base import ReadOnlyAdmin
from .models import Beat, IdempotentAnswer, PeriodicRun


@admin.register(PeriodicRun)
class PeriodicRunAdmin(ReadOnlyAdmin[PeriodicRun]):
    """Each due time of each periodic task, and what came of it."""

    list_display = ["task", "due_at", "outcome", "started_at", "finished_at", "error"]
    list_filter = ["task", "outcome"]
    date_hierarchy = "due_at"


@admin.register(Beat)
class BeatAdmin(ReadOnlyAdmin[Beat]):
    """The last sign of life of each process that health asks about."""

    list_display = ["name", "at"]


@admin.register(IdempotentAnswer)
class IdempotentAnswerAdmin(ReadOnlyAdmin[IdempotentAnswer]):
    """Answers kept for a day for requests with an Idempotency-Key, without their bodies."""

    list_display = ["actor", "route", "key", "status", "created_at"]
    list_filter = ["route"]
    exclude = ["body", "digest"]
