"""The plumbing's rows in the admin: to look at, not to change."""

from __future__ import annotations

from django.contrib import admin

from .admin_base import ReadOnlyAdmin
from .models import BackupReport, Beat, IdempotentAnswer, PeriodicRun, RetentionRun, Tally, TallyMark


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


@admin.register(Tally)
class TallyAdmin(ReadOnlyAdmin[Tally]):
    """Counters for Prometheus of rows that may be forgotten by now."""

    list_display = ["source", "name", "labels", "value"]
    list_filter = ["source", "name"]


@admin.register(TallyMark)
class TallyMarkAdmin(ReadOnlyAdmin[TallyMark]):
    """Up to when the rows of each source have been added to its tallies."""

    list_display = ["source", "until"]


@admin.register(BackupReport)
class BackupReportAdmin(ReadOnlyAdmin[BackupReport]):
    """How each backup and each trial restore ended."""

    list_display = ["kind", "at", "is_good", "name", "seconds", "bytes", "detail"]
    list_filter = ["kind", "is_good"]
    date_hierarchy = "at"


@admin.register(RetentionRun)
class RetentionRunAdmin(ReadOnlyAdmin[RetentionRun]):
    """What the rules of retention have removed; what would go now stands on the page of retention."""

    list_display = ["rule", "at", "count", "bytes", "oldest", "error"]
    list_filter = ["rule"]
    date_hierarchy = "at"
