"""Insert new rows by statements that are made once.

`Model.save` composes the same INSERT anew for every row, which takes several times what running it does. Here a model's
statement and what prepares its values are kept. Only for models whose save does nothing else: no signal is sent, and
multi-table inheritance is not supported.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import DatabaseDefault

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
    """Store a new row, as `row.save(force_insert=True)` does."""
    model = type(row)
    left_out = frozenset(name for name in _optional(model) if _is_missing(getattr(row, name)))
    statement = _insert(model, left_out)
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, statement.values(row))
        found = cursor.fetchone() if statement.returned else ()
    for field, value in zip(statement.returned, found, strict=True):
        setattr(row, field.attname, value)
    row._state.adding, row._state.db = False, connection.alias


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
