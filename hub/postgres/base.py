"""Django's PostgreSQL backend with a pool that gets over a restart of the database at once.

A restart breaks every pooled connection. The pool finds that out one by one when a connection is asked for, and sleeps
longer after each (0, 1, 2, 4 … seconds), so with eight idle connections requests fail for many seconds after the
database is back. Here the first broken one found replaces all.
"""

from __future__ import annotations

import select
import time
from typing import Any

from django.db.backends.postgresql import base, operations
from psycopg import Connection, Cursor, Error, OperationalError
from psycopg.errors import FeatureNotSupported
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg_pool import ConnectionPool

from .metering import time_statement

DRAIN_AT_MOST_EVERY_SECONDS = 1.0
PREPARED = "prepared"  # asks for a cursor whose statements are prepared, where Django takes a cursor's name


class DatabaseOperations(operations.DatabaseOperations):
    """Django's, which knows what a prepared statement was asked with."""

    def last_executed_query(self, cursor: Any, sql: str, params: Any) -> Any:
        if isinstance(cursor, PreparedCursor):
            return self.compose_sql(sql, params)
        return super().last_executed_query(cursor, sql, params)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with our check of pooled connections and a clock for each statement."""

    ops_class = DatabaseOperations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(time_statement)

    def create_cursor(self, name: str | None = None) -> Any:
        """Django's cursor, or for `prepared_cursor` the driver's own, which sends parameters apart from the text."""
        if name == PREPARED:
            return PreparedCursor(self.connection)
        return super().create_cursor(name)

    @property
    def pool(self) -> ConnectionPool[Any] | None:
        """The process's pool."""
        pool: ConnectionPool[Any] | None = super().pool
        # Django gives the pool its check and takes no other, and the pool offers no way to change it.
        if pool is not None and pool._check is ConnectionPool.check_connection:
            pool._check = Check(pool)
        return pool


class PreparedCursor(base.CursorMixin, Cursor[Any]):
    """The driver's cursor, which gets over a migration that changed a column's type under a prepared statement.

    PostgreSQL refuses the statement then ("cached plan must not change result type") before it does anything. Within a
    transaction that is the transaction's end, and the driver forgets what it has prepared at its rollback.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        try:
            return super().execute(query, params, **options)
        except FeatureNotSupported:
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                raise
            self.connection.execute("DEALLOCATE ALL")
            return super().execute(query, params, **options)


class Check:
    """Look whether a connection that is about to be given out lives; a broken one condemns those older than it.

    Every request pays for it, so it asks the server only if there is something to read: an idle connection has that
    when it was closed, or told something (a reload of the configuration, the reason of its end). Psycopg's own check
    makes a round trip each time, and finds no more: a server that vanished without a word makes that hang as well.
    """

    def __init__(self, pool: ConnectionPool[Any]) -> None:
        self.pool = pool
        self.drained_at = 0.0

    def __call__(self, connection: Connection[Any]) -> None:
        if not _has_something_to_read(connection.pgconn.socket):
            return
        try:
            answer = connection.pgconn.exec_(b"")
            if answer.status != ExecStatus.EMPTY_QUERY:
                raise OperationalError("the connection is broken")
        except Error:
            now = time.monotonic()
            if now - self.drained_at > DRAIN_AT_MOST_EVERY_SECONDS:
                self.drained_at = now
                self.pool.drain()
            raise


def _has_something_to_read(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
