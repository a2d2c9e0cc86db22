"""Helpers for the tests of every app."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient
from rq.job import Job
from rq.serializers import JSONSerializer

from .jobs import DEFAULT_QUEUE, rq_queue

if TYPE_CHECKING:
    import pytest

T = TypeVar("T")


PORTS = range(21_000, 32_000)  # outside the range of outgoing connections
_next_ports = itertools.count(os.getpid() * 1009)


def free_port(ip: str = "127.0.0.1") -> int:
    """A port that nobody uses now, told once; other test runs of this machine look elsewhere."""
    for number in itertools.islice(_next_ports, len(PORTS)):
        port = PORTS[number % len(PORTS)]
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                holder = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind))
                holder.bind((ip, port))
            return port
    raise AssertionError("no free port")


def wait_until(predicate: Callable[[], T], timeout: float = 60.0, *, pause: float = 0.02, what: str = "") -> T:
    """Poll until the predicate is true and return what it said; fail with `what` was awaited when time is up."""
    deadline = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or 'the condition'} did not come true within {timeout:g} s")
        time.sleep(pause)


def replace_sleep(monkeypatch: pytest.MonkeyPatch, module: Any, sleep: Callable[[float], object]) -> None:
    """Let one module sleep otherwise. Never `time.sleep` itself, which every other thread of the process calls too."""
    monkeypatch.setattr(module, "time", SimpleNamespace(**{**vars(time), "sleep": sleep}))


def stop_rate_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no minute of the rate limits end within a test."""
    moment = time.time() // 60 * 60 + 10
    monkeypatch.setattr("hub.api.throttles.time", SimpleNamespace(time=lambda: moment))


def run_commit_hooks() -> None:
    """Run what waits for the commit of a test's own transaction, which never commits."""
    while connection.run_on_commit:
        hooks, connection.run_on_commit = connection.run_on_commit, []
        for entry in hooks:
            entry[1]()


def run_jobs(*queues: str, raising: bool = True) -> list[str]:
    """Work off queues, and what that sends in turn, in this process, after-commit hooks included.

    Returns the descriptions of the jobs that ran. Their exceptions come through, or are dropped if not `raising`.
    """
    names = queues or (DEFAULT_QUEUE,)
    ran: list[str] = []
    while True:
        run_commit_hooks()
        waiting = [(queue, job_id) for queue in map(rq_queue, names) for job_id in queue.get_job_ids()]
        if not waiting:
            return ran
        for queue, job_id in waiting:
            queue.remove(job_id)
            job = Job.fetch(job_id, connection=queue.connection, serializer=JSONSerializer)
            ran.append(str(job.description))
            try:
                job.perform()
            except Exception:
                if raising:
                    raise
            finally:
                job.delete()


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a `manage.py` child that shall work on the test's own database."""
    url = urlsplit(os.environ["DATABASE_URL"])
    database = connection.settings_dict["NAME"]
    return {**os.environ, "DATABASE_URL": urlunsplit(url._replace(path=f"/{database}")), **changes}


def empty_queues() -> None:
    """Forget everything in Redis."""
    rq_queue(DEFAULT_QUEUE).connection.flushdb()


def api_client(who: Any = None) -> APIClient:
    """A client of the API: nobody's, a signed-in user's, or that of an API token in plain text."""
    client = APIClient()
    if isinstance(who, str):
        client.credentials(HTTP_AUTHORIZATION=f"Token {who}")
    elif who is not None:
        client.force_login(who)
    return client


def count_queries(call: Callable[[], Any]) -> int:
    """How many queries a call makes."""
    with CaptureQueriesContext(connection) as queries:
        call()
    return len(queries)


def assert_constant_queries(call: Callable[[], Any], add_rows: Callable[[], Any]) -> None:
    """Fail when a list makes more queries because there are more rows. Needs one row to begin with."""
    call()
    before = count_queries(call)
    add_rows()
    after = count_queries(call)
    if after != before:
        raise AssertionError(f"{before} queries became {after} with more rows")
