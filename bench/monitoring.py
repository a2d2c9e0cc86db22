"""Samples: storing, reading and dropping them, the fleet's page, and what the sampler itself takes.

Ten million rows stand for a month of minutes of some 230 subjects; `HUB_BENCH_SAMPLES` makes it fewer. The newest hour
of the same subjects is there as measured.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from django.db import connection, transaction
from django.utils import timezone

from hub.engines.base import Usage
from hub.engines.fake import FakeEngine
from monitoring import query, sampler, store, tables
from monitoring.measure import Caps, Reading
from monitoring.models import Series
from monitoring.spool import Spool

from .api import reader
from .harness import Figure, benchmark, cpu_ms, median_of
from .wsgi import figure

ROWS = int(os.environ.get("HUB_BENCH_SAMPLES", "10000000"))
DAYS, MINUTES_A_DAY = 30, 1440
SUBJECTS = max(4, ROWS // (DAYS * MINUTES_A_DAY))
STORED = 10_000
SAMPLED = 50
VALUES = {"cpu_percent": 41.5, "cpu_share": 20.75, "memory_bytes": 2.0**30, "memory_share": 50.0, "net_in": 1e5}
MINUTE_COLUMNS = [f"{name}_{part}" for name in VALUES for part in ("min", "mean", "max", "n")]


def elapsed_ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


@benchmark
def samples_store() -> Iterator[Figure]:
    """A batch of ten thousand with its number, beside the bare COPY of the same rows into the same table."""
    at = timezone.now() - timedelta(days=1)  # out of the way of what is read
    lines = [
        Reading(f"bench:{number % 100}", at - timedelta(seconds=number // 100), VALUES).line()
        for number in range(STORED)
    ]
    feed = uuid.uuid4()
    store.store_batch(lines, feed=feed, name="bench", sequence=1)  # series and partitions are there
    ids = store.series_ids({line.partition("\t")[0] for line in lines})
    raw = "".join(f"{ids[line.partition(chr(9))[0]]}\t{line.partition(chr(9))[2]}\n" for line in lines)
    ours, bare = [], []
    for number in range(2, 9):  # in turn, so that both meet the same load
        ours.append(elapsed_ms(lambda n=number: store.store_batch(lines, feed=feed, name="bench", sequence=n)))  # type: ignore[misc]  # bound now
        bare.append(elapsed_ms(lambda: _copy(raw)))
    median, limit = statistics.median(ours), statistics.median(bare)
    spread = (min(ours), max(ours))
    yield Figure(f"{STORED:,} samples stored", median, "ms", 2, raw=limit, raw_name="COPY", spread=spread)


def _copy(raw: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(store._COPY) as copy:
        copy.write(raw)


@cache
def filled() -> tuple[list[str], datetime]:
    """Make the rows; answers the subjects and the present."""
    now = timezone.now().replace(second=0, microsecond=0)
    keys = [f"bench-many:{number}" for number in range(SUBJECTS)]
    Series.objects.bulk_create([Series(subject=key) for key in keys], ignore_conflicts=True)
    ids = list(Series.objects.filter(subject__in=keys).values_list("id", flat=True))
    days = [(now - timedelta(days=number)).date() for number in range(DAYS, -1, -1)]
    tables.ensure(tables.MINUTE, days)
    tables.ensure(tables.SAMPLE, days[-2:])
    columns = ", ".join(MINUTE_COLUMNS)
    values = ", ".join("6" if column.endswith("_n") else "random() * 100" for column in MINUTE_COLUMNS)
    names = ", ".join(VALUES)
    with connection.cursor() as cursor:
        for day in days:
            cursor.execute(
                f"INSERT INTO {tables.MINUTE.name} (series_id, at, {columns})"  # noqa: S608 - our own names
                f" SELECT id, at, {values} FROM unnest(%s::int[]) AS id, generate_series(%s::timestamptz,"
                " least(%s, %s::timestamptz + interval '23:59'), interval '1 minute') AS at ON CONFLICT DO NOTHING",
                [ids, datetime(day.year, day.month, day.day, tzinfo=UTC), now - timedelta(minutes=3), day],
            )
        cursor.execute(
            f"INSERT INTO {tables.SAMPLE.name} (series_id, at, {names})"  # noqa: S608 - our own names
            f" SELECT id, at, {', '.join('random() * 100' for _ in VALUES)} FROM unnest(%s::int[]) AS id,"
            " generate_series(%s::timestamptz - interval '1 hour', %s, interval '10 seconds') AS at",
            [ids, now, now],
        )
        cursor.execute(f"ANALYZE {tables.MINUTE.name}, {tables.SAMPLE.name}")
        cursor.execute(f"SELECT count(*) FROM {tables.MINUTE.name}")  # noqa: S608 - our own name
        print(f"({cursor.fetchone()[0]:,} rows of minutes, {SUBJECTS} subjects)", flush=True)
    return keys, now


@benchmark
def samples_read() -> Iterator[Figure]:
    """A week of one subject, the last hour of all, and a day less."""
    keys, now = filled()
    week, hour = timedelta(days=7), timedelta(hours=1)

    def one() -> None:
        answer = query.read([keys[len(keys) // 2]], ["cpu_percent"], now - week, now, points=500, now=now)
        if not answer.series[0].known:
            raise RuntimeError("nothing was read")

    def fleet() -> None:
        if len(query.newest(("cpu_percent", "memory_bytes"), seconds=int(hour.total_seconds()), now=now)) < len(keys):
            raise RuntimeError("not all subjects were read")

    for work in (one, fleet):
        work()
    ours, spread = median_of(lambda: elapsed_ms(one), 9)
    yield Figure("one subject, 7 days in 500 points", ours, "ms", 25, spread=spread)
    ours, spread = median_of(lambda: elapsed_ms(fleet), 9)
    yield Figure(f"fleet of {len(keys)}, the last hour", ours, "ms", 50, spread=spread)
    oldest = tables.partitions(tables.MINUTE)[:3]
    times = [elapsed_ms(lambda name=name: tables.drop(name)) for _, name in oldest]  # type: ignore[misc]  # bound now
    yield Figure("a day dropped", statistics.median(times), "ms", 100, spread=(min(times), max(times)))


@benchmark
def fleet_page() -> Iterator[Figure]:
    """The page of the fleet, by an Admin's session."""
    ask, session = reader().ask, reader().by_session
    yield figure("GET /monitoring/ (fleet)", 20, lambda: ask("/monitoring/", session))


class Counting(FakeEngine):
    """Tells of fifty workloads that all do something."""

    def usage(self) -> dict[str, Usage]:
        now = datetime.now(UTC)
        busy = now.timestamp()
        return {
            f"bench-{number}": Usage("1", now, busy, 2**28, 2**29, 2**30, 9, int(busy), int(busy), 1, 1)
            for number in range(SAMPLED)
        }


@benchmark
def sampler_use() -> Iterator[Figure]:
    """CPU of the sampler with 50 workloads, as a share of a core when it looks every ten seconds; engine apart."""
    with tempfile.TemporaryDirectory(prefix="kutanga-bench-samples-") as folder:
        mine = sampler.Sampler("bench", Spool(Path(folder), max_bytes=2**20), engine=Counting(node="bench", options={}))
        mine.caps = {f"bench-{n}": (f"bench-used:{n}", Caps(100, 2**29, 2**30, 3.0)) for n in range(SAMPLED)}

        def look() -> None:
            mine.spool.add([reading.line() for reading in mine.measure()])
            mine.deliver()

        look()
        ours, spread = median_of(lambda: cpu_ms(look, 5) / 10_000 * 100)
    yield Figure(f"sampler with {SAMPLED} workloads, of a core", ours, "%", 3, spread=spread)
