"""The plumbing's rows in the admin: to look at, not to change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from .models import Beat, IdempotentAnswer, PeriodicRun


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Nothing to add, change or delete: these rows are written by the hub."""

    actions = None

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


@admin.register(PeriodicRun)
class PeriodicRunAdmin(ReadOnlyAdmin):
    list_display = ["task", "due_at", "outcome", "started_at", "finished_at", "error"]
    list_filter = ["task", "outcome"]
    date_hierarchy = "due_at"


@admin.register(Beat)
class BeatAdmin(ReadOnlyAdmin):
    list_display = ["name", "at"]


@admin.register(IdempotentAnswer)
class IdempotentAnswerAdmin(ReadOnlyAdmin):
    list_display = ["actor", "route", "key", "status", "created_at"]
    list_filter = ["route"]
    exclude = ["body", "digest"]
