"""What the services of challenges share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils.text import slugify

from hub.exceptions import Invalid

SAMPLE_KEYS, SAMPLE_TIME = tuple(range(1_999_999_901, 1_999_999_905)), datetime(2001, 1, 1, tzinfo=UTC)
"""What stands for keys and the time in a statement that is kept, see `hub.statements`."""


def clean(
    row: models.Model, *, prefix: str = "", exclude: set[str] | None = None, with_constraints: bool = True
) -> None:
    """Check all of a row; the first thing at fault is said. Without constraints the database says it, at the INSERT."""
    try:
        row.full_clean(exclude=exclude, validate_constraints=with_constraints)
    except ValidationError as error:
        raise as_invalid(error, prefix) from None


def as_invalid(error: ValidationError, prefix: str = "") -> Invalid:
    field, messages = next(iter(error.message_dict.items()))
    return Invalid(messages[0], field="" if field == "__all__" else f"{prefix}{field}")


def free_slug(model: type[models.Model], name: str, length: int) -> str:
    """A slug made from a name that no other row has."""
    base = slugify(name)[: length - 4].strip("-") or model._meta.model_name or "row"
    taken = set(model._default_manager.filter(slug__startswith=base).values_list("slug", flat=True))
    if base not in taken:
        return base
    return next(slug for number in range(2, 10_000) if (slug := f"{base}-{number}") not in taken)


def clock() -> datetime:
    """The database's time at this very moment, later than whatever was locked before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def assign(row: models.Model, values: dict[str, Any]) -> dict[str, Any]:
    """Set fields and answer what they were."""
    before = {name: getattr(row, name) for name in values}
    for name, value in values.items():
        setattr(row, name, value)
    return before


def told(values: dict[str, Any]) -> dict[str, Any]:
    """Values as the audit trail takes them."""
    return {
        name: value if value is None or isinstance(value, bool | int | float | list | dict) else str(value)
        for name, value in values.items()
    }
