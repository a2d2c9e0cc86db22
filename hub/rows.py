"""Take a row under its lock, or say that it is gone."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models

from .exceptions import NotFound

Row = TypeVar("Row", bound=models.Model)


def locked(rows: models.QuerySet[Row], pk: Any) -> Row:
    """The row of this key, of a queryset that locks; `NotFound` when somebody has deleted it meanwhile."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise NotFound(f"There is no such {rows.model._meta.verbose_name} any more.")
    return row
