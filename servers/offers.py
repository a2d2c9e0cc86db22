"""Templates as creations need them: with variables, from this process's memory while the row has not changed since.

Fetching a template and a dozen variables costs more than all locks and counts of a creation, and they hardly ever
change. One small query asks whether they did: `updated_at` rises with every change of a template or its variables.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from accounts.permissions import can

from .models import Template

MAX_REMEMBERED = 500
_remembered: dict[int, tuple[datetime, Template]] = {}


def find_template(slug: str, *, asker: Any) -> Template | None:
    """The template of this name if the asker may use it. Shared: never change what you get."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, updated_at, is_published FROM servers_template WHERE slug = %s", [slug])
        row = cursor.fetchone()
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
