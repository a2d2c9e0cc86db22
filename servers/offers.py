"""Templates and regions as creations need them; templates from this process's memory while their rows do not change.

Fetching a template and a dozen variables costs more than all locks and counts of a creation, and they hardly ever
change. One small query asks whether they did: `updated_at` rises with every change of a template or its variables.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection

from accounts.permissions import can
from hub.nodes.models import Region
from hub.statements import column_names

from .models import Template

MAX_REMEMBERED = 500
_remembered: dict[int, tuple[datetime, Template]] = {}


def find_offer(template: str, region: str, *, asker: Any) -> tuple[Template | None, Region | None]:
    """The template of this name if the asker may use it, and the region of that one, in one round trip.

    The template is shared: never change it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_find_sql(), {"template": template, "region": region})
        offered = cursor.fetchone()
        cursor.nextset()
        found = cursor.fetchone()
    place = None if found is None else Region.from_db(connection.alias, column_names(Region), found)
    return _as_it_is(offered, asker), place


@cache
def _find_sql() -> str:
    columns = ", ".join(str(field.column) for field in Region._meta.concrete_fields)
    region = f"SELECT {columns} FROM nodes_region WHERE slug = %(region)s"  # noqa: S608 - our own columns
    return f"SELECT id, updated_at, is_published FROM servers_template WHERE slug = %(template)s; {region}"  # noqa: S608 - as above


def _as_it_is(row: tuple[Any, ...] | None, asker: Any) -> Template | None:
    if row is None or not (row[2] or can(asker, "templates.change")):
        return None
    pk, updated_at, _ = row
    known = _remembered.get(pk)
    if known is None or known[0] != updated_at:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        known = updated_at, Template.objects.with_variables().get(pk=pk)
        _remembered[pk] = known
    return known[1]
