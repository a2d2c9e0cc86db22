"""Take every traceback that is logged as an error, of requests, jobs, agents and the scheduler, and have it stored.

A thread stores them, with a database connection of its own: the one at hand may be in the middle of a transaction that
failed. A request does not wait for it; a job does for a moment, as its process may be about to end. What cannot be
stored is still in the log.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import connections

from hub import context
from hub.logs import scrub

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
MOST_WAITING = 500
FRAMES = 5
LONGEST_MESSAGE, LONGEST_TRACE = 1_000, 20_000
WEB = frozenset({"web", "api", "admin"})
HOME = Path(settings.BASE_DIR)


@dataclass(frozen=True)
class Failure:
    """What is kept of one error."""

    fingerprint: str
    error_type: str
    source: str
    place: str
    message: str
    traceback: str
    at: datetime
    request_id: str
    job_id: str
    user: str


class ErrorHandler(logging.Handler):
    """A logging handler for records with a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.waiting: deque[Failure] = deque(maxlen=MOST_WAITING)
        self.start_lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.pid = 0

    def emit(self, record: logging.LogRecord) -> None:
        if not settings.HUB_ERROR_DAYS or not record.exc_info or record.exc_info[1] is None:
            return
        self.waiting.append(failure_of(record, record.exc_info[1], record.exc_info[2]))
        thread = self._start()
        if context.current().via not in WEB:
            thread.join(WAIT_SECONDS)

    def _start(self) -> threading.Thread:
        """The thread that stores; after a fork the child has none of it, and not its parent's errors either."""
        with self.start_lock:
            if self.pid != os.getpid():
                newest = self.waiting.pop()
                self.waiting.clear()
                self.waiting.append(newest)
                self.pid, self.thread = os.getpid(), None
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._store, name="errors", daemon=True)
                self.thread.start()
            return self.thread

    def _store(self) -> None:
        from .store import store  # models are not ready when logging is configured

        try:
            while self.waiting:
                failures = [self.waiting.popleft() for _ in range(len(self.waiting))]
                try:
                    store(failures)
                except Exception as error:  # noqa: BLE001 - an error about errors must not make another one
                    logger.warning("%d errors are in the log only: %s", len(failures), error)
        finally:
            connections.close_all()


def failure_of(record: logging.LogRecord, error: BaseException, trace: TracebackType | None) -> Failure:
    """What is kept: names of places and the text of the error, scrubbed; never a local variable or a request's body."""
    facts = context.current()
    source = "web" if facts.via in WEB else "job"
    error_type = type(error).__name__
    place = _place(record)
    text = "".join(traceback.format_exception(type(error), error, trace))
    return Failure(
        fingerprint=fingerprint(error_type, source, trace),
        error_type=error_type[:120],
        source=source,
        place=place[:250],
        message=_clean(str(error))[:LONGEST_MESSAGE],
        traceback=_clean(text)[-LONGEST_TRACE:],
        at=datetime.now(UTC),
        request_id=facts.request_id,
        job_id=facts.job_id,
        user=facts.user,
    )


def fingerprint(error_type: str, source: str, trace: TracebackType | None) -> str:
    """The same for errors of one class that passed the same functions of ours last; lines may move meanwhile."""
    frames = [(frame.filename, frame.name) for frame in traceback.extract_tb(trace)]
    ours = [(_relative(name), function) for name, function in frames if _is_ours(name)] or frames
    key = repr((error_type, source, ours[-FRAMES:]))
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _place(record: logging.LogRecord) -> str:
    """The route of a request, else who logged it and what he said before the values came in."""
    request: Any = getattr(record, "request", None)
    match = getattr(request, "resolver_match", None)
    if match is not None:
        return str(match.route or "/")
    if job := getattr(record, "job", ""):
        return str(job)
    return f"{record.name}: {record.msg}" if request is None else "unmatched"


def _clean(text: str) -> str:
    return scrub(text.replace("\x00", ""))


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(HOME) and ".venv" not in path.parts and "site-packages" not in path.parts


def _relative(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(HOME)) if path.is_relative_to(HOME) else path.name
