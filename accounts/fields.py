"""Database expressions of our own."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.deconstruct import deconstructible


@deconstructible(path="accounts.fields.CurrentTransaction")
class CurrentTransaction(models.Func):
    """The id of the transaction at hand, 64 bits wide (it does not wrap around)."""

    template = "(pg_current_xact_id()::text::bigint)"
    arity = 0
    allowed_default = True

    def __init__(self, **extra: Any) -> None:
        super().__init__(output_field=models.BigIntegerField(), **extra)
