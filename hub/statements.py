"""Queries that are asked again and again: their SQL is made by the ORM once and kept.

Building and compiling a queryset costs several times what asking it does. Only the text and its parameters are kept,
never a row, so nothing can be out of date. What decides the text must therefore stand in the key, or be an argument:
a queryset with the time of day in it (other than the database's own `Now()`) is not for this.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache, cached_property, lru_cache
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Aggregate, Model, QuerySet, Value

from hub.postgres.prepared import prepared_cursor

Row = tuple[Any, ...]
Build = Callable[..., QuerySet[Any, Any]]
KEPT = 2_000


class Statement:
    """The SQL of a `values_list`, with what turns its columns into Python.

    It may have arguments: `build` is called once with samples that stand for them, which must be values that occur
    nowhere else in the SQL.
    """

    def __init__(self, build: Build, *samples: Hashable) -> None:
        rows = build(*samples)
        self.alias, self.samples = rows.db, samples
        self.sql, self.params, self.converters = "", (), []  # type: tuple[str, tuple[Any, ...], list[Any]]
        compiler = rows.query.get_compiler(self.alias)
        try:
            self.sql, self.params = compiler.as_sql()
        except EmptyResultSet:  # known to find nothing without asking
            return
        self.converters = list(compiler.get_converters([column for column, _, _ in compiler.select]).items())

    def rows(self, *values: Any) -> list[Row]:
        """Ask, and answer all rows."""
        if not self.sql:
            return []
        connection = connections[self.alias]
        with prepared_cursor(self.alias) as cursor:
            cursor.execute(self.sql, self._with(values))
            found: list[Row] = cursor.fetchall()
        return [self._converted(row, connection) for row in found] if self.converters else found

    def _converted(self, row: Row, connection: BaseDatabaseWrapper) -> Row:
        values = list(row)
        for at, (converters, column) in self.converters:
            for convert in converters:
                values[at] = convert(values[at], column, connection)
        return tuple(values)

    @cached_property
    def _digest_sql(self) -> str:
        return f"SELECT md5(string_agg(found::text, E'\\n')) FROM ({self.sql}) AS found"  # noqa: S608 - the ORM's own

    def digest(self, *values: Any) -> str:
        """A fingerprint of all rows, taken by the database, so that none has to travel; "" for no rows."""
        if not self.sql:
            return ""
        with prepared_cursor(self.alias) as cursor:
            cursor.execute(self._digest_sql, self._with(values))
            return cursor.fetchone()[0] or ""

    def _with(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self.samples:
            return self.params
        given = dict(zip(self.samples, values, strict=True))
        return tuple(given.get(each, each) if isinstance(each, Hashable) else each for each in self.params)


@cache
def column_names(model: type[Model]) -> list[str]:
    """What `values_list` is asked for and `Model.from_db` takes, to make whole rows of a statement's."""
    return [field.attname for field in model._meta.concrete_fields]


def statement(key: Hashable, build: Build, *samples: Hashable) -> Statement:
    """The statement under a key, made when it is new. The key names everything that decides the SQL."""
    return _kept(_Key(key, build, samples))


class _Key:
    """A key that carries along what makes its statement, without being compared by it."""

    __slots__ = ("build", "key", "samples")

    def __init__(self, key: Hashable, build: Build, samples: tuple[Hashable, ...]) -> None:
        self.key, self.build, self.samples = key, build, samples

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key == other.key


@lru_cache(maxsize=KEPT)
def _kept(key: _Key) -> Statement:
    made = Statement(key.build, *key.samples)
    del key.build  # it may hold on to a request
    return made


def totals(rows: QuerySet[Any, Any], **aggregates: Aggregate) -> QuerySet[Any, Any]:
    """`aggregate` as a queryset of one row, so that it can become a statement."""
    whole = rows.order_by().annotate(whole=Value(1)).values("whole")  # a constant, so nothing is grouped
    return whole.annotate(**aggregates).values_list(*aggregates)
