"""Insert new rows without the detour of saving them.

`Model.save` composes the same INSERT anew for every row, which takes several times what running it does. Here a model's
columns and what prepares their values are kept. Only for models whose save does nothing else: no signal is sent, and
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

from .prepared import prepared_cursor

_waiting: ContextVar[list[models.Model] | None] = ContextVar("rows to insert together", default=None)
# Their values reach the driver as they are.
PLAIN = (models.BooleanField, models.CharField, models.IntegerField, models.TextField, models.UUIDField)


class Plan:
    """How rows of one model are stored."""

    def __init__(self, model: type[models.Model]) -> None:
        quote, fields = connection.ops.quote_name, model._meta.concrete_fields
        columns = ", ".join(quote(str(field.column)) for field in fields)
        self.head = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ("  # noqa: S608 - our own names
        self.columns = [
            (field, field.attname, _has_pre_save(field), _may_be_left_out(field), _is_plain(field)) for field in fields
        ]

    def statement(self, row: models.Model) -> tuple[str, list[Any], list[models.Field[Any, Any]]]:
        """The INSERT, its parameters, and the columns that the database fills in.

        What is empty, true or false stands in the text: the driver takes long for each parameter, and parses a
        statement anew that has more than fifty.
        """
        places: list[str] = []
        values: list[Any] = []
        told: list[models.Field[Any, Any]] = []
        for field, name, has_pre_save, may_be_left_out, is_plain in self.columns:
            value = field.pre_save(row, add=True) if has_pre_save else getattr(row, name)
            if may_be_left_out and (value is None or isinstance(value, DatabaseDefault)):
                places.append("DEFAULT")
                told.append(field)
            elif value is None:
                places.append("NULL")
            elif value.__class__ is str and not value:
                places.append("''")
            elif value.__class__ is bool:
                places.append("TRUE" if value else "FALSE")
            else:
                places.append("%s")
                values.append(value if is_plain else field.get_db_prep_save(value, connection))
        return f"{self.head}{', '.join(places)})", values, told


def insert(row: models.Model) -> None:
    """Store a new row, as `row.save(force_insert=True)` does; inside `together` at its end."""
    waiting = _waiting.get()
    if waiting is None:
        _send([row])
    else:
        waiting.append(row)


@contextmanager
def together() -> Iterator[None]:
    """Send all rows that are inserted inside in one statement at the end; after an error none.

    Until then they lack what the database fills in. The database decides on their order.
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
    """In one statement, the rows but the last as its common table expressions, so that it can be prepared."""
    before: list[str] = []
    values: list[Any] = []
    told: list[tuple[models.Model, models.Field[Any, Any]]] = []
    answers: list[str] = []
    sql = ""
    for at, row in enumerate(rows):
        sql, given, filled = _plan(type(row)).statement(row)
        values += given
        told += [(row, field) for field in filled]
        columns = [connection.ops.quote_name(str(field.column)) for field in filled]
        if row is rows[-1]:
            answers += columns
        else:
            before.append(f"row{at} AS ({sql}{_returning(columns)})")
            answers += [f"(SELECT {column} FROM row{at})" for column in columns]  # noqa: S608 - our own names
    start = f"WITH {', '.join(before)} " if before else ""
    with prepared_cursor() as cursor:
        cursor.execute(f"{start}{sql}{_returning(answers)}", values)
        found = cursor.fetchone() if answers else ()
    for (row, field), value in zip(told, found, strict=True):
        setattr(row, field.attname, value)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def _returning(columns: list[str]) -> str:
    return f" RETURNING {', '.join(columns)}" if columns else ""


@cache
def _plan(model: type[models.Model]) -> Plan:
    return Plan(model)


def _may_be_left_out(field: models.Field[Any, Any]) -> bool:
    """Whether the database may fill it."""
    return isinstance(field, models.AutoField) or field.has_db_default()


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
