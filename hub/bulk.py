"""One verb for many rows: each in a transaction of its own, with a result for each. For API, pages, admin, commands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet

from .api.errors import NOT_FOUND, Problem, foreseen

logger = logging.getLogger(__name__)

MOST: Final = 200
BROKEN: Final = Problem(500, "internal_error", "Something went wrong here. It is in the log.")

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Result(Generic[Row]):
    """What came of it for one row: `value` is what the service answered, `problem` why it refused."""

    key: Any
    row: Row | None = None
    value: Any = None
    problem: Problem | None = None

    @property
    def is_done(self) -> bool:
        return self.problem is None


def for_each(rows: Iterable[Row], do: Callable[[Row], Any]) -> list[Result[Row]]:
    """Do it with every row, whatever becomes of the others; not inside a transaction, or locks add up."""
    return [_attempt(row, do) for row in rows]


def for_keys(keys: Iterable[Any], rows: QuerySet[Row], do: Callable[[Row], Any]) -> list[Result[Row]]:
    """The same for the rows with these keys, in their order; a key that is not among the rows is a 404 of its own."""
    wanted = list(dict.fromkeys(keys))
    found = rows.in_bulk(wanted)
    return [_attempt(found[key], do) if key in found else Result(key, problem=NOT_FOUND) for key in wanted]


def _attempt(row: Row, do: Callable[[Row], Any]) -> Result[Row]:
    try:
        with transaction.atomic():
            return Result(row.pk, row, value=do(row))
    except Exception as error:
        problem = foreseen(error)
        if problem is None:
            logger.exception("a bulk action failed on %s", row.pk)
        return Result(row.pk, row, problem=problem or BROKEN)
