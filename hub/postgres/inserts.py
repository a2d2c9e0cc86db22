"""Insert new rows by statements that are made once.

`Model.save` composes the same INSERT anew for every row, which takes several times what running it does. Here a model's
statement and what prepares its values are kept. Only for models whose save does nothing else: no signal is sent, and
multi-table inheritance is not supported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault

_waiting: ContextVar[list[models.Model] | None] = ContextVar("rows to insert together", default=None)
# Their values reach the driver as they are.
PLAIN = (models.BooleanField, models.CharField, models.IntegerField, models.TextField, models.UUIDField)


class Insert:
    """The INSERT of one model. Columns that the database fills are left to it and read back."""

    def __init__(self, model: type[models.Model], left_out: frozenset[str]) -> None:
        meta = model._meta
        fields = [field for field in meta.concrete_fields if field.attname not in left_out]
        quote = connection.ops.quote_name
        columns, places = ", ".join(quote(str(field.column)) for field in fields), ", ".join(["%s"] * len(fields))
        self.returned = [field for field in meta.concrete_fields if field.attname in left_out]
        self.sql = f"INSERT INTO {quote(meta.db_table)} ({columns}) VALUES ({places})"  # noqa: S608 - our own columns
        if self.returned:
            self.sql += f" RETURNING {', '.join(quote(str(field.column)) for field in self.returned)}"
        self.columns = [(field, field.attname, _has_pre_save(field), _is_plain(field)) for field in fields]

    def values(self, row: models.Model) -> list[Any]:
        """What the row holds, as the driver takes it."""
        values = []
        for field, name, has_pre_save, is_plain in self.columns:
            value = field.pre_save(row, add=True) if has_pre_save else getattr(row, name)
            values.append(value if is_plain else field.get_db_prep_save(value, connection))
        return values


def insert(row: models.Model) -> None:
    """Store a new row, as `row.save(force_insert=True)` does; inside `together` at its end."""
    waiting = _waiting.get()
    if waiting is None:
        _send([row])
    else:
        waiting.append(row)


@contextmanager
def together() -> Iterator[None]:
    """Send all rows that are inserted inside in one round trip at the end, in their order; after an error none.

    Until then they lack what the database fills in.
    """
    rows: list[models.Model] = []
    outer = _waiting.set(rows)
    try:
        yield
    finally:
        _waiting.reset(outer)
    if rows:
        _send(rows)


def _send(rows: list[models.Model]) -> None:
    statements = [_insert(type(row), _left_out(row)) for row in rows]
    values = [value for row, statement in zip(rows, statements, strict=True) for value in statement.values(row)]
    with connection.cursor() as cursor:
        cursor.execute(";".join([statement.sql for statement in statements]), values)
        for row, statement in zip(rows, statements, strict=True):
            if statement.returned:
                for field, value in zip(statement.returned, cursor.fetchone(), strict=True):
                    setattr(row, field.attname, value)
            row._state.adding, row._state.db = False, connection.alias
            cursor.nextset()


def _left_out(row: models.Model) -> frozenset[str]:
    return frozenset(name for name in _optional(type(row)) if _is_missing(getattr(row, name)))


@cache
def _insert(model: type[models.Model], left_out: frozenset[str]) -> Insert:
    return Insert(model, left_out)


@cache
def _optional(model: type[models.Model]) -> tuple[str, ...]:
    """Columns that the database may fill."""
    fields = model._meta.concrete_fields
    return tuple(field.attname for field in fields if isinstance(field, models.AutoField) or field.has_db_default())


def _is_missing(value: Any) -> bool:
    return value is None or isinstance(value, DatabaseDefault)


def _has_pre_save(field: models.Field[Any, Any]) -> bool:
    """Whether it makes its value at the last moment, such as the time of creation."""
    if isinstance(field, models.DateField):
        return field.auto_now or field.auto_now_add
    return type(field).pre_save not in (models.Field.pre_save, models.AutoField.pre_save)


def _is_plain(field: models.Field[Any, Any]) -> bool:
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    return isinstance(target, PLAIN) and type(target).get_prep_value in {kind.get_prep_value for kind in PLAIN_KINDS}


PLAIN_KINDS: tuple[type[models.Field[Any, Any]], ...] = (
    *PLAIN,
    models.AutoField,
    models.BigIntegerField,
    models.PositiveIntegerField,
    models.SlugField,
)
