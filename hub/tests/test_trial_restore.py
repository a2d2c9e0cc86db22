"""Trial restores compare a recovered server with ours to the row, and say what differs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from hub import health, schedule
from hub.backups import base, recovery, reports, trial
from hub.exceptions import Unavailable
from hub.models import BackupReport, PeriodicRun

from .backup_world import World, backup_world

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
LOGIN = ("hub", "hub")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with backup_world() as world:
        world.sql("CREATE TABLE notes (id serial PRIMARY KEY, body text)")
        world.sql("CREATE TABLE parts (at date) PARTITION BY RANGE (at)")
        world.sql("CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
        world.sql("INSERT INTO parts VALUES ('2026-02-02')")
        base.create_base("full")
        yield world


@pytest.fixture
def busy(world: World) -> Iterator[None]:
    """Somebody writes all the time."""
    over = threading.Event()

    def write() -> None:
        with psycopg.connect(world.embedded.database_url, autocommit=True) as connected:
            while not over.wait(0.002):
                connected.execute("INSERT INTO notes (body) VALUES ('tick')")

    writer = threading.Thread(target=write)
    writer.start()
    yield
    over.set()
    writer.join()


def test_restored_database_is_the_same_to_the_row_while_others_write(world: World, busy: None) -> None:
    done, moment = trial.try_restore(world.embedded.database_url, LOGIN)

    assert set(moment.content) == {("public", "notes"), ("public", "parts_2026")}
    assert moment.content[("public", "parts_2026")][0] == 1
    assert not done.path.exists()


def test_database_that_differs_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    take = trial.take_moment

    def take_and_forge(address: str) -> trial.Moment:
        moment = take(address)
        count, total = moment.content[("public", "notes")]
        moment.content[("public", "notes")] = (count, total + 1)
        return moment

    monkeypatch.setattr(trial, "take_moment", take_and_forge)

    with pytest.raises(Unavailable, match="differs in 1 tables: notes"):
        trial.try_restore(world.embedded.database_url, LOGIN)


def test_tables_that_are_missing_or_new_are_named() -> None:
    assert trial.compare({("public", "a"): (1, 5)}, {("public", "b"): (2, 7)}) == [
        "a (1 rows, restored no)",
        "b (no rows, restored 2)",
    ]


def test_writer_that_never_ends_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ATTEMPTS", 2)
    with psycopg.connect(world.embedded.database_url) as writer:
        writer.execute("INSERT INTO notes (body) VALUES ('not committed')")

        with pytest.raises(Unavailable, match="no moment"):
            trial.take_moment(world.embedded.database_url)
        writer.execute("INSERT INTO parts VALUES ('2026-03-03')")  # nothing is locked any more
        writer.rollback()


def test_job_reports_what_it_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_our_address", lambda: world.embedded.database_url)
    monkeypatch.setattr(recovery, "hub_login", lambda: LOGIN)

    assert schedule.run_now("trial-restore")

    report = BackupReport.objects.get(kind="trial")
    assert report.is_good
    assert report.seconds > 0
    assert "2 tables" in report.detail


def test_job_reports_what_went_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise Unavailable("The restored database differs in 1 tables: notes.")

    monkeypatch.setattr(trial, "try_restore", fail)

    assert not schedule.run_now("trial-restore")

    report = BackupReport.objects.get(kind="trial")
    assert (report.is_good, report.detail) == (False, "The restored database differs in 1 tables: notes.")
    assert "differs" in PeriodicRun.objects.get(task="trial-restore").error


def test_health_says_whether_wal_is_received_and_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = [(True, 0), (False, 0), (True, 2**40), None]
    monkeypatch.setattr(reports, "receiver", lambda: found[0])
    states = []
    while found:
        states.append(reports.check_backups().state)
        found.pop(0)
    found.append((True, 0))
    BackupReport.objects.create(kind="trial", is_good=False)

    assert states == [health.OK, health.DEGRADED, health.DEGRADED, health.DEGRADED]
    assert "trial restore" in reports.check_backups().detail


def test_figures_tell_of_the_latest_of_each_kind() -> None:
    BackupReport.objects.create(kind="base", is_good=False)
    BackupReport.objects.create(kind="base", is_good=True, seconds=3, bytes=7)

    found = {family.name: [(s.labels, s.value) for s in family.samples] for family in reports.collect()}

    assert found["backup_success"] == [({"kind": "base"}, 1)]
    assert found["backup_size_bytes"] == [({"kind": "base"}, 7)]
    assert found["backup_duration_seconds"] == [({"kind": "base"}, 3)]
