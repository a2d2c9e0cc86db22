"""A cursor for statements that are asked again and again: PostgreSQL plans each once in a connection, not every time.

Planning takes longer than running for most of what a request asks, and Django's cursors send each statement as new text
with its parameters inside. Here they travel apart; the driver prepares a text at its sixth use, keeps a hundred in a
connection, and forgets them after a rollback or a change of tables. So: one statement per text, and a text that does
not change with what is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections

from .base import PREPARED

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper


def prepared_cursor(alias: str = DEFAULT_DB_ALIAS) -> CursorWrapper:
    """Like `connection.cursor()`."""
    connection: Any = connections[alias]
    cursor: CursorWrapper = connection._cursor(PREPARED)
    return cursor
