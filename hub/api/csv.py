"""Lists as CSV: the same rows and filters as JSON, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer, JSONRenderer

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CsvRenderer(BaseRenderer):
    """Renders the results of a list with a header line; anything else, such as an error, as JSON."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        rows = data.get("results") if isinstance(data, Mapping) else data
        if not isinstance(rows, list):
            return JSONRenderer().render(data)
        text = io.StringIO()
        names = list(rows[0]) if rows else _field_names(rows)
        writer = csv.writer(text)
        writer.writerow(names)
        writer.writerows([safe_cell(row.get(name)) for name in names] for row in rows)
        return text.getvalue().encode()


def _field_names(rows: list[Any]) -> list[str]:
    """The header of a list without rows: the fields of the serializer that made it."""
    child: Any = getattr(getattr(rows, "serializer", None), "child", None)
    return list(getattr(child, "fields", ()))


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, Mapping | list):
        value = json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value
