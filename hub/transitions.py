"""Status changes: one table per field, refused when not in it, written only if the row still has the old status.

Two workers that both saw `queued` cannot both win: the UPDATE names the old status, and the second touches no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import models

from .exceptions import Conflict


class Transitions:
    """The table of one status field: from each status to those that may follow.

    Staying where one is, is always allowed: a status is also a fresh observation.
    """

    def __init__(self, field: str, table: Mapping[str, Iterable[str]]) -> None:
        self.field = field
        self.table = {str(old): frozenset(map(str, new)) for old, new in table.items()}

    def allows(self, old: str, new: str) -> bool:
        return old == new or str(new) in self.table.get(str(old), frozenset())

    def check(self, old: str, new: str) -> None:
        """Raise `Conflict` unless the table has this arrow."""
        if not self.allows(old, new):
            raise Conflict(f"{self.field} cannot go from {old} to {new}.", code="illegal_transition")

    def apply(self, row: models.Model, new: str, *, guard: Mapping[str, Any] | None = None, **values: Any) -> bool:
        """Move a row and set `values` with it; False when somebody else moved it first.

        `guard` adds conditions to the UPDATE (a lease token, a generation). The instance is changed only on success;
        the value of an expression such as `Now()` is fetched when asked for.
        """
        old = getattr(row, self.field)
        self.check(old, new)
        changes = {self.field: new, **values}
        where = {"pk": row.pk, self.field: old, **(guard or {})}
        if not type(row)._base_manager.filter(**where).update(**changes):
            return False
        for name, value in changes.items():
            if hasattr(value, "resolve_expression"):
                row.__dict__.pop(name, None)
            else:
                setattr(row, name, value)
        return True
