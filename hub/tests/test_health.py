"""Health checks: deadlines, hung checks, what is critical, and what each check finds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from hub import health
from hub.health import DEGRADED, DOWN, OK, Finding
from hub.models import Beat
from hub.testing import wait_until


@pytest.fixture(autouse=True)
def _only_own_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_runners", {})


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Lets hung checks end after the test."""
    event = threading.Event()
    yield event
    event.set()


def states(report: health.Report) -> dict[str, str]:
    return {result.name: result.state for result in report.results}


def test_all_well_is_200() -> None:
    health.register("a", lambda: Finding(OK, "fine"), critical=True)

    report = health.report()

    assert (report.state, report.status) == (OK, 200)
    assert report.results[0].detail == "fine"


def test_answer_says_when_and_for_how_long_the_process_runs_d64() -> None:
    told = health.report().as_dict(details=False)

    assert abs(datetime.fromisoformat(str(told["timestamp"])) - timezone.now()) < timedelta(seconds=10)
    assert isinstance(told["uptime_seconds"], int)


@pytest.mark.parametrize(
    ("state", "critical", "whole", "status"),
    [(DEGRADED, True, DEGRADED, 200), (DOWN, False, DEGRADED, 200), (DOWN, True, DOWN, 503), (OK, True, OK, 200)],
)
def test_worst_check_decides(state: Any, critical: bool, whole: str, status: int) -> None:
    health.register("fine", lambda: Finding(OK))
    health.register("it", lambda: Finding(state), critical=critical)

    report = health.report()

    assert (report.state, report.status) == (whole, status)
    assert states(report)["it"] == state


def test_check_that_fails_is_down_and_shows_no_words_of_the_error() -> None:
    def fail() -> Finding:
        raise RuntimeError("postgresql://hub:hunter2@db")

    health.register("bad", fail)

    (result,) = health.report().results
    assert (result.state, result.detail) == (DOWN, "RuntimeError")


def test_hung_check_does_not_hold_up_the_answer(monkeypatch: pytest.MonkeyPatch, let_go: threading.Event) -> None:
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 2)
    health.register("hung", lambda: Finding(OK) if let_go.wait(60) else Finding(DOWN))
    health.register("fine", lambda: Finding(OK))
    began = time.monotonic()

    report = health.report()

    assert time.monotonic() - began < 30
    assert states(report) == {"hung": DOWN, "fine": OK}


def test_hung_check_gets_no_second_thread(monkeypatch: pytest.MonkeyPatch, let_go: threading.Event) -> None:
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(health, "KEEP_SECONDS", 0)
    started: list[int] = []

    def hang() -> Finding:
        started.append(1)
        let_go.wait(60)
        return Finding(OK)

    health.register("hung", hang)

    for _ in range(5):
        assert health.report().state == DEGRADED
    assert len(started) == 1
    let_go.set()
    wait_until(lambda: health.report().state == OK)


def test_asking_often_runs_the_checks_once() -> None:
    ran: list[int] = []

    def count() -> Finding:
        ran.append(1)
        return Finding(OK)

    health.register("counted", count)

    for _ in range(10):
        health.report()

    assert len(ran) == 1


def test_checks_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 60)
    barrier = threading.Barrier(3, timeout=60)
    for name in "abc":
        health.register(name, lambda: Finding(OK, str(barrier.wait())))

    assert health.report().state == OK


def test_only_what_is_asked_for_runs() -> None:
    health.register("database", lambda: Finding(OK))
    health.register("redis", lambda: Finding(DOWN))

    assert states(health.report(health.READY)) == {"database": OK}


@pytest.mark.django_db(transaction=True)
def test_checks_give_their_connections_back() -> None:
    health.register("database", health.check_database, critical=True)
    health.register("migrations", health.check_migrations, critical=True)
    default: Any = connection
    pool = default.pool
    for _ in range(20):
        health._kept.clear()
        assert health.report().state == OK

    assert wait_until(lambda: pool.get_stats()["pool_available"] >= pool.get_stats()["pool_size"] - 1)


@pytest.mark.django_db
def test_database_check_names_the_version() -> None:
    assert health.check_database().detail.startswith("PostgreSQL ")


@pytest.mark.django_db
def test_migration_not_applied_is_down() -> None:
    assert health.check_migrations().state == OK

    MigrationRecorder(connection).record_unapplied("hub", "0001_initial")

    assert health.check_migrations() == Finding(DOWN, "1 to apply, first hub.0001_initial")


@pytest.mark.django_db
def test_migration_of_a_newer_version_is_no_fault() -> None:
    MigrationRecorder(connection).record_applied("hub", "0999_of_tomorrow")

    assert health.check_migrations().state == OK


def test_redis_check_asks_redis() -> None:
    assert health.check_redis().state == OK


def test_redis_away_is_found_quickly(settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    health._redis.cache_clear()
    health.register("redis", health.check_redis)
    began = time.monotonic()

    (result,) = health.report().results

    health._redis.cache_clear()
    assert (result.state, result.weight) == (DOWN, DEGRADED)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(("free", "state"), [(5 * 1024**3, OK), (1024**3, DEGRADED), (64 * 1024**2, DOWN)])
def test_disk_that_fills_up_is_told_in_time(monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=free))

    assert health.check_disk().state == state


def test_data_directory_that_is_not_there_yet_is_no_fault(settings: Any, tmp_path: Path) -> None:
    settings.HUB_DATA = tmp_path / "not" / "yet"

    assert health.check_disk().state in (OK, DEGRADED)


@pytest.mark.django_db
def test_scheduler_that_never_ran_or_fell_silent_is_degraded() -> None:
    assert health.check_scheduler() == Finding(DEGRADED, "scheduler has never run")

    row = Beat.objects.create(name="scheduler", at=timezone.now())
    assert health.check_scheduler().state == OK

    Beat.objects.filter(pk=row.pk).update(at=timezone.now() - timedelta(seconds=90))
    assert health.check_scheduler() == Finding(DEGRADED, "scheduler seen 90 s ago")


def test_clock_ahead_is_no_negative_age() -> None:
    assert health.beat_finding("agent", timezone.now() + timedelta(seconds=30)).detail == "agent seen 0 s ago"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("off", "state", "words"), [(0.0, OK, "0.0 s"), (90.0, DEGRADED, "ahead of"), (-90.0, DEGRADED, "behind")]
)
def test_clock_that_differs_from_the_databases_degrades(
    monkeypatch: pytest.MonkeyPatch, off: float, state: str, words: str
) -> None:
    real = time.time
    monkeypatch.setattr(health.time, "time", lambda: real() + off)

    finding = health.check_clock()

    assert finding.state == state
    assert words in finding.detail
