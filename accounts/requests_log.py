"""The request log: every request of a person or program with its user and address, beside the trail of what changed.

The access line that each request writes is taken by a logging handler, kept in memory, and stored by a thread in one
statement a second, so that a request pays next to nothing for it. Who kills the process loses that second; the audit
trail, which says what was done, is written with the deed. What cannot be stored is dropped with a warning, never waited
for.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from hub import context

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
MOST_WAITING = 20_000  # beyond it the oldest are dropped: the hub serves, whatever becomes of its log
BATCH = 1_000
COPY = 'COPY accounts_requestentry (at, "user", ip, via, method, path, status, ms, request_id) FROM STDIN'


class RequestLogHandler(logging.Handler):
    """Keeps the facts of access lines until the thread of this process stores them."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[tuple[Any, ...]] = deque(maxlen=MOST_WAITING)
        self.pid = 0
        self.wake = threading.Event()
        self.start_lock = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        if not settings.HUB_REQUEST_LOG_DAYS or not hasattr(record, "method"):
            return
        self.waiting.append(_facts(record))
        if self.pid != os.getpid():
            self._start()
        if len(self.waiting) >= BATCH:
            self.wake.set()

    def flush_rows(self) -> int:
        """Store what waits; answers how many rows. What the database refuses is dropped and said."""
        count = 0
        while self.waiting:
            rows = [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
            try:
                with transaction.atomic(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
                    for row in rows:
                        copy.write_row(row)
                count += len(rows)
            except DatabaseError as error:
                logger.warning("%s lines of the request log are lost: %s", len(rows), error)
        return count

    def _start(self) -> None:
        """Begin the thread of this process; after a fork the child has none, and its parent's lines are not its own."""
        with self.start_lock:
            if self.pid == os.getpid():
                return
            if self.pid:
                newest = self.waiting.pop()
                self.waiting.clear()
                self.waiting.append(newest)
            self.pid = os.getpid()
            threading.Thread(target=self._run, name="request-log", daemon=True).start()
            atexit.register(self.flush_rows)

    def _run(self) -> None:
        while True:
            self.wake.wait(FLUSH_SECONDS)
            self.wake.clear()
            if self.waiting:
                try:
                    self.flush_rows()
                finally:
                    connections.close_all()


def forget_old() -> int:
    """Delete lines older than `HUB_REQUEST_LOG_DAYS`."""
    from .models import RequestEntry

    before = timezone.now() - timedelta(days=settings.HUB_REQUEST_LOG_DAYS)
    return RequestEntry.objects.filter(at__lt=before).delete()[0]


def _facts(record: logging.LogRecord) -> tuple[Any, ...]:
    """The columns of `COPY`, in its order."""
    facts, line = context.current(), record.__dict__
    return (
        datetime.fromtimestamp(record.created, UTC),
        facts.user[:150],
        facts.ip,
        facts.via[:16],
        line["method"][:10],
        line["path"].replace("\x00", "")[:500],
        line["status"],
        line["ms"],
        facts.request_id[:64],
    )
