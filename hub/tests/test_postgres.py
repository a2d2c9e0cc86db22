"""The connection pool after the database cut its connections."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection, connections

from hub.postgres.base import Check

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 6


def work(barrier: threading.Barrier | None = None) -> None:
    """One request: take a connection, ask something, give it back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        if barrier:
            barrier.wait(60)
    connections.close_all()


def in_threads(count: int) -> None:
    """That many connections at once."""
    barrier = threading.Barrier(count)
    threads = [threading.Thread(target=work, args=[barrier]) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cut_all_others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"  # waits until each has ended
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def test_pool_is_ours() -> None:
    default: Any = connection

    assert isinstance(default.pool._check, Check)


def test_all_broken_connections_are_replaced_by_the_first_that_is_found() -> None:
    in_threads(THREADS)
    assert cut_all_others() >= THREADS - 1
    connections.close_all()
    began = time.monotonic()

    for _ in range(THREADS + 2):
        work()

    assert time.monotonic() - began < 15  # by itself, the pool sleeps longer after each broken one: some 30 s for these


def test_many_at_once_after_the_cut_all_get_one() -> None:
    in_threads(THREADS)
    cut_all_others()
    connections.close_all()
    began = time.monotonic()

    in_threads(THREADS)

    assert time.monotonic() - began < 15
