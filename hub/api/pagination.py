"""Pages of a list: `?limit=&offset=`, 50 unless told, 1000 at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Count, QuerySet
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

from hub.exceptions import Invalid
from hub.statements import Row, statement, totals

Rows = QuerySet[Any, Any]
MAX_OFFSET = 10_000_000


class HubPagination(LimitOffsetPagination):
    """Answers `{count, next, previous, results}`; more than the maximum is cut to it, nonsense is refused."""

    default_limit = 50
    max_limit = 1000

    def fetch(self, request: Request, build: Callable[[], Rows], columns: Callable[[Rows], Rows]) -> list[Row]:
        """The page's rows as plain columns, by statements kept under the person and what he asks for.

        `build` filters and orders what this path shows to this person, and follows from nothing but these two.
        """
        self.request, self.limit, self.offset = request, self.get_limit(request), self.get_offset(request)
        user: Any = request.user
        asked = (request.path, user.reach, request.META["QUERY_STRING"], type(self))
        counted = statement(("count", *asked), lambda: totals(build(), number=Count("pk")))
        self.count = counted.rows()[0][0] if counted.sql else 0
        stop = self.offset + self.limit
        return statement(("page", *asked), lambda: columns(build())[self.offset : stop]).rows()

    def get_limit(self, request: Request) -> int:
        return min(_number(request, "limit", self.default_limit, least=1), self.max_limit)

    def get_offset(self, request: Request) -> int:
        return min(_number(request, "offset", 0, least=0), MAX_OFFSET)


def _number(request: Request, name: str, default: int, *, least: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) >= least):
        raise Invalid(f"{name} must be a whole number of at least {least}.", field=name)
    return int(text)


class ExportPagination(HubPagination):
    """A CSV export is one long page."""

    default_limit = 10_000
    max_limit = 10_000
