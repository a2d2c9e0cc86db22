"""Templates and regions as creations need them; templates from this process's memory while their rows do not change.

Fetching a template and a dozen variables costs more than all locks and counts of a creation, and they hardly ever
change. One small query asks whether they did: `updated_at` rises with every change of a template or its variables.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from accounts.permissions import can
from hub.nodes.models import Region
from hub.postgres.prepared import prepared_cursor
from hub.statements import column_names

from .models import Template

MAX_REMEMBERED = 500
_remembered: dict[int, tuple[datetime, Template]] = {}


def find_offer(template: str, region: str, *, asker: Any) -> tuple[Template | None, Region | None]:
    """The template of this name if the asker may use it, and the region of that one, in one round trip.

    The template is shared: never change it.
    """
    with prepared_cursor() as cursor:
        cursor.execute(_find_sql(), {"template": template, "region": region})
        row = cursor.fetchone()
    place = None if row[3] is None else Region.from_db(DEFAULT_DB_ALIAS, column_names(Region), row[3:])
    return _as_it_is(row[:3], asker), place


@cache
def _find_sql() -> str:
    columns = ", ".join(f"region.{field.column}" for field in Region._meta.concrete_fields)
    return f"""
        SELECT template.id, template.updated_at, template.is_published, {columns} FROM (VALUES (1)) one
        LEFT JOIN servers_template template ON template.slug = %(template)s
        LEFT JOIN nodes_region region ON region.slug = %(region)s"""  # noqa: S608 - our own columns


def _as_it_is(row: tuple[Any, ...], asker: Any) -> Template | None:
    pk, updated_at, is_published = row
    if pk is None or not (is_published or can(asker, "templates.change")):
        return None
    known = _remembered.get(pk)
    if known is None or known[0] != updated_at:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        known = updated_at, Template.objects.with_variables().get(pk=pk)
        _remembered[pk] = known
    return known[1]
