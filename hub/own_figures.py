"""What the plumbing tells Prometheus: periodic runs, the scheduler's beat, jobs that wait, and counters of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db import connection
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from redis.exceptions import RedisError
from rq import Queue

from . import metering, tallies
from .jobs import DEFAULT_QUEUE, rq_queue
from .models import Beat

BUCKETS = (1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
"""Seconds from a wish to its fate; the planned ones for deployments (10, 30, 60, 300, 3600) are among them."""


def buckets_sql(seconds: str) -> str:
    """Columns that count how many durations are at most each bucket, and their sum; `seconds` is an expression."""
    counts = (f"count(*) FILTER (WHERE {seconds} <= {bucket})" for bucket in BUCKETS)
    return ", ".join([*counts, f"coalesce(sum({seconds}), 0)"])


def bucket_rows(name: str, labels: dict[str, str], total: int, columns: Iterable[float]) -> Iterator[tallies.Row]:
    """The columns of `buckets_sql` as counters that can be added up."""
    *counts, seconds = columns
    yield f"{name}_count", labels, total
    yield f"{name}_sum", labels, float(seconds)
    for bucket, number in zip(BUCKETS, counts, strict=True):
        yield f"{name}_bucket", {**labels, "le": f"{bucket:g}"}, number


def histogram(
    found: dict[str, list[tuple[dict[str, str], float]]],
    name: str,
    *,
    to: HistogramMetricFamily,
    keep: tuple[str, ...],
    only: dict[str, tuple[str, ...]],
    factor: float = 1,
) -> HistogramMetricFamily:
    """Counters of `bucket_rows` as a histogram: those whose labels are among `only`, added up over all not kept."""
    buckets: dict[tuple[str, ...], dict[float, float]] = {}
    totals: dict[tuple[str, ...], list[float]] = {}
    for suffix in ("bucket", "count", "sum"):
        for labels, value in found.get(f"{name}_{suffix}", ()):
            if any(labels.get(label) not in allowed for label, allowed in only.items()):
                continue
            key = tuple(labels[label] for label in keep)
            if suffix == "bucket":
                bounds = buckets.setdefault(key, {})
                bound = float(labels["le"]) * factor
                bounds[bound] = bounds.get(bound, 0) + value
            else:
                total = totals.setdefault(key, [0, 0])
                total[suffix == "sum"] += value * (factor if suffix == "sum" else 1)
    for key, (count, seconds) in totals.items():
        steps = [(f"{bound:g}", number) for bound, number in sorted(buckets.get(key, {}).items())]
        to.add_metric(list(key), [*steps, ("+Inf", count)], seconds)
    return to


def count_runs(after: datetime, until: datetime | None) -> Iterator[tallies.Row]:
    """Periodic runs that ended in this time."""
    sql = """
        SELECT task, outcome, count(*) FROM hub_periodicrun
        WHERE finished_at > %s AND finished_at <= coalesce(%s, 'infinity'::timestamptz) GROUP BY task, outcome
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, until])
        for task, outcome, number in cursor.fetchall():
            yield "jobs", {"queue": DEFAULT_QUEUE, "job": task, "outcome": outcome}, number


def collect() -> Iterator[Metric]:
    """The plumbing's figures."""
    jobs = CounterMetricFamily("jobs", "Jobs by what became of them.", labels=["queue", "job", "outcome"])
    for labels, value in tallies.read()["jobs"]:
        jobs.add_metric([labels["queue"], labels["job"], labels["outcome"]], value)
    yield jobs
    beats = GaugeMetricFamily("beat_timestamp_seconds", "Last sign of life.", labels=["process"])
    for name, at in Beat.objects.values_list("name", "at"):
        beats.add_metric([name], at.timestamp())
    yield beats


def collect_queues() -> Iterator[Metric]:
    """How many jobs wait; nothing while Redis is away, which is a figure too."""
    up = GaugeMetricFamily("redis_up", "Whether Redis answers.")
    waiting = GaugeMetricFamily("jobs_waiting", "Jobs that wait in Redis.", labels=["queue"])
    try:
        for queue in Queue.all(connection=rq_queue(DEFAULT_QUEUE).connection):
            waiting.add_metric([queue.name], queue.count)
        up.add_metric([], 1)
    except RedisError:
        up.add_metric([], 0)
    yield up
    yield waiting


def collect_database() -> Iterator[Metric]:
    """How near PostgreSQL is to turning connections away, those of agents and of other programs included."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity WHERE datid IS NOT NULL"
        )
        used, limit = cursor.fetchone()
    yield GaugeMetricFamily("database_connections", "Connections to the database server.", value=used)
    yield GaugeMetricFamily("database_connections_limit", "Connections that it accepts.", value=limit)


def register() -> None:
    """Tell of ourselves; called once by the app config."""
    tallies.register("periodic", count_runs)
    metering.register("hub", collect)
    metering.register("queues", collect_queues)
    metering.register("database", collect_database)
