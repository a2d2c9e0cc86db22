"""What the list of errors can do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from hub.pages.lists import Chip, Column, Spec, Tab

from .models import ErrorGroup


def find_error(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Errors by class, place, message, or the id of a request or job that ended so."""
    found = Q(error_type__icontains=text) | Q(place__icontains=text) | Q(message__icontains=text)
    return rows.filter(found | Q(pk__in=_reported(text)))


def _reported(text: str) -> QuerySet[Any]:
    return ErrorGroup.objects.filter(Q(reports__request_id=text) | Q(reports__job_id=text)).values("pk")


ERRORS = Spec(
    key="errors",
    columns=(
        Column("what", "What", order="error_type", value=lambda row: row.error_type, is_fixed=True),
        Column("place", "Where", order="place", value=lambda row: row.place, is_fixed=True),
        Column("message", "Message", value=lambda row: row.message),
        Column("source", "Of", order="source", value=lambda row: row.source),
        Column("count", "Times", order="count", value=lambda row: row.count),
        Column("first", "First", order="first_seen_at", value=lambda row: row.first_seen_at, is_default=False),
        Column("last", "Last", order="last_seen_at", value=lambda row: row.last_seen_at),
    ),
    chips=(Chip("source", "Of", lambda request: ErrorGroup.Source.choices),),
    tabs=(
        Tab("open", "Open", lambda user: Q(resolved_at=None)),
        Tab("resolved", "Resolved", lambda user: Q(resolved_at__isnull=False)),
    ),
    search=find_error,
    search_hint="Class, place, message, request or job id",
    order="-last_seen_at",
)
