"""For how long operations and tasks of nodes are kept."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from hub import retention, tallies

from .models import NodeTask, Operation


def _over(model: Any, source: str) -> QuerySet[Any, Any]:
    """Those that ended long ago and have been counted."""
    before = retention.days_ago(settings.HUB_OPERATIONS_DAYS)
    counted = tallies.marks().get(source, tallies.BEGINNING)
    rows: QuerySet[Any, Any] = model.objects.filter(finished_at__lt=min(before, counted))
    return rows


def _keeps() -> str:
    return f"kept for {settings.HUB_OPERATIONS_DAYS} days after their end"


def register() -> None:
    """Called once by the app config."""
    for name, label, model in (("operations", "Operations", Operation), ("tasks", "Tasks of nodes", NodeTask)):
        rows = partial(_over, model, name)
        retention.register(retention.of_rows(name, label, _keeps, rows, time_field="finished_at"))
