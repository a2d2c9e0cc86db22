"""Samples are stored once, in order, rolled up whenever they come, and dropped when their time is over."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from monitoring import rollups, sampler, store, tables
from monitoring.measure import Reading
from monitoring.models import Feed, Stale
from monitoring.spool import Spool

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _empty_tables(db: None) -> None:
    """Agents of other tests commit samples, and no flush of Django's knows these tables. All comes back afterwards."""
    for table in tables.TABLES:
        for _, name in tables.partitions(table):
            tables.drop(name)
    tables.forget_known()
    Stale.objects.all().delete()


def line(at: datetime, subject: str = "node:local", **values: float) -> str:
    return Reading(subject, at, values or {"cpu_percent": 50.0}).line()


def rows(columns: str, table: str = "sample", order: str = "at") -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM monitoring_{table} ORDER BY {order}")  # noqa: S608 - our own words
        return cursor.fetchall()


def count(table: str = "sample") -> int:
    return len(rows("at", table))


def test_batch_is_stored_once_however_often_it_is_sent():
    feed = uuid.uuid4()

    first = store.store_batch([line(NOON)], feed=feed, name="local", sequence=1)
    again = store.store_batch([line(NOON)], feed=feed, name="local", sequence=1)

    assert (first, again) == (True, False)
    assert count() == 1


def test_what_is_not_known_is_null():
    store.store([line(NOON, memory_bytes=1024)])

    assert rows("cpu_percent, memory_bytes, cores") == [(None, 1024, None)]


def test_minute_and_hour_hold_least_mean_greatest_and_count():
    store.store([line(NOON + timedelta(seconds=10 * n), cpu_percent=n) for n in range(12)])

    rollups.roll_up(NOON + timedelta(hours=2))

    names = "cpu_percent_min, cpu_percent_mean, cpu_percent_max, cpu_percent_n, players_n"
    assert rows(names, "minute") == [(0, 2.5, 5, 6, None), (6, 8.5, 11, 6, None)]
    assert rows(names, "hour") == [(0, 5.5, 11, 12, None)]


def test_late_samples_are_rolled_up_again():
    store.store([line(NOON, cpu_percent=10)])
    rollups.roll_up(NOON + timedelta(hours=2))

    store.store([line(NOON + timedelta(seconds=30), cpu_percent=30)])
    rollups.roll_up(NOON + timedelta(hours=2))
    rollups.roll_up(NOON + timedelta(hours=2))

    assert rows("cpu_percent_mean, cpu_percent_n", "minute") == [(20, 2)]
    assert rows("cpu_percent_mean, cpu_percent_n", "hour") == [(20, 2)]
    assert not Stale.objects.exists()


def test_minute_that_is_not_over_waits():
    store.store([line(NOON)])

    assert rollups.roll_up(NOON + timedelta(seconds=30)) == (0, 0)
    assert Stale.objects.count() == 1


def test_forty_days_keep_what_each_resolution_keeps():
    for day in range(40):
        store.store([line(NOON + timedelta(days=day, minutes=minute)) for minute in range(3)])
    now = NOON + timedelta(days=39, hours=2)
    rollups.roll_up(now)

    gone = tables.drop_expired(now)

    kept = [len({at.date() for (at,) in rows("at", table)}) for table in ("sample", "minute", "hour")]
    assert kept == [3, 31, 40]
    assert len(gone) == 37 + 9
    assert not list(tables.expired(now))


def test_partitions_are_made_ahead_and_only_once():
    tables.ahead(NOON)
    tables.ahead(NOON)

    made = [name for _, name in tables.partitions(tables.SAMPLE)]
    assert made == [f"monitoring_sample_2026030{day}" for day in (1, 2, 3, 4)]


def test_buffer_delivers_in_order_once_the_database_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    meter = sampler.Sampler("local", Spool(tmp_path, max_bytes=10**6))
    with monkeypatch.context() as patch:
        patch.setattr(sampler, "connections", Mock())
        patch.setattr(sampler, "store_batch", lambda *args, **kwargs: (_ for _ in ()).throw(OperationalError("away")))
        for n in range(6):
            meter.spool.add([line(NOON + timedelta(seconds=10 * n), cpu_percent=n)])
            meter.deliver()

    delivered = meter.deliver()

    assert delivered == 6
    assert rows("cpu_percent", order="ctid") == [(n,) for n in range(6)]
    assert not meter.spool.waiting()


def test_batch_whose_commit_was_not_heard_of_is_not_doubled(tmp_path: Path):
    meter = sampler.Sampler("local", Spool(tmp_path, max_bytes=10**6))
    batch = meter.spool.add([line(NOON)])
    store.store_batch(batch.lines(), feed=meter.spool.feed, name="local", sequence=batch.sequence)

    meter.deliver()

    assert count() == 1


def test_restarted_agent_goes_on_counting_and_delivers_what_waited(tmp_path: Path):
    Spool(tmp_path, max_bytes=10**6).add([line(NOON)])

    meter = sampler.Sampler("local", Spool(tmp_path, max_bytes=10**6))
    meter.spool.add([line(NOON + timedelta(seconds=10))])
    meter.deliver()

    assert Feed.objects.get().sequence == 2
    assert count() == 2


def test_full_buffer_drops_the_oldest_and_counts(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=300)
    for n in range(10):
        spool.add([line(NOON + timedelta(seconds=n))])

    kept = spool.waiting()

    assert kept[-1].sequence == 10
    assert spool.dropped == 10 - len(kept) > 0
    assert Spool(tmp_path, max_bytes=300).dropped == spool.dropped


def test_batch_that_the_database_refuses_does_not_hold_up_others(tmp_path: Path):
    meter = sampler.Sampler("local", Spool(tmp_path, max_bytes=10**6))
    meter.spool.add(["node:local\tnonsense"])
    meter.spool.add([line(timezone.now())])

    meter.deliver()

    assert count() == 1
    assert [path.name for path in tmp_path.glob("*.refused")] == ["000000000001.refused"]
