"""Time every statement under its operation and table."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from time import perf_counter
from typing import Any

from django.apps import apps

OPERATION = re.compile(r"\s*(?:WITH\b.*?\)\s*)?(SELECT|INSERT|UPDATE|DELETE)\b", re.IGNORECASE | re.DOTALL)
TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE)\s+"?([a-z_][a-z0-9_]*)', re.IGNORECASE)


def time_statement(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    """An execute wrapper of Django."""
    began = perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        _instrument(sql if isinstance(sql, str) else "").observe(perf_counter() - began)


@lru_cache(maxsize=4096)
def _instrument(sql: str) -> Any:
    from hub.metering import database_seconds

    return database_seconds.labels(*kind_of(sql))


def kind_of(sql: str) -> tuple[str, str]:
    """What a statement does to which table; few words, as each pair is a series of its own."""
    operation = OPERATION.match(sql)
    if not operation:
        return "other", ""
    table = TABLE.search(sql)
    name = table[1].lower() if table else ""
    return operation[1].lower(), name if name in _tables() else "other"


@cache
def _tables() -> frozenset[str]:
    return frozenset(model._meta.db_table for model in apps.get_models(include_auto_created=True))
