"""Rows of monitoring in the admin: to look at, not to change."""

from __future__ import annotations

from django.contrib import admin

from hub.admin_base import ReadOnlyAdmin

from .alerts import admin as alerts_admin  # noqa: F401 - importing it registers them
from .errors.models import ErrorGroup, ErrorReport


@admin.register(ErrorGroup)
class ErrorGroupAdmin(ReadOnlyAdmin[ErrorGroup]):
    """Unhandled errors of web and jobs, grouped; resolved on the page of errors."""

    list_display = ["error_type", "place", "source", "count", "first_seen_at", "last_seen_at", "resolved_at"]
    list_filter = ["source", ("resolved_at", admin.EmptyFieldListFilter), "error_type"]
    search_fields = ["error_type", "place", "message"]


@admin.register(ErrorReport)
class ErrorReportAdmin(ReadOnlyAdmin[ErrorReport]):
    """The latest thousand single errors, a hundred to a page."""

    list_display = ["at", "group", "message", "request_id", "job_id", "user"]
    list_select_related = ["group"]
    list_filter = ["group__error_type"]
    search_fields = ["=request_id", "=job_id", "=user", "message"]
    list_per_page = 100
