"""Read measurements: a range in at most so many buckets, each with least, mean and greatest; gaps stay gaps.

The width of a bucket decides the source: samples, minutes or hours. What is not rolled up yet is read from below, so
that the newest points are there as soon as they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from hub.exceptions import Invalid

from . import tables
from .metrics import BY_NAME
from .models import Series

STEPS = (10, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
MAX_POINTS = 2000
MINUTE, HOUR, DAY = 60, 3600, 86_400
MAX_SPAN = timedelta(days=3660)
TAIL = timedelta(minutes=2)
LONGEST_TAIL = timedelta(hours=1)


@dataclass
class Values:
    """One metric of one subject, a value for each bucket or None."""

    subject: str
    metric: str
    least: list[float | None] = field(default_factory=list)
    mean: list[float | None] = field(default_factory=list)
    greatest: list[float | None] = field(default_factory=list)

    @property
    def known(self) -> list[float]:
        return [value for value in self.mean if value is not None]


@dataclass
class Answer:
    """A range as it was read: the beginnings of its buckets, in seconds since 1970, and what fell into them."""

    start: int
    end: int
    step: int
    times: list[int]
    series: list[Values]


def step_for(start: datetime, end: datetime, points: int, *, now: datetime | None = None) -> int:
    """The narrowest bucket with which the range has at most so many, and for whose width there still is data."""
    now = now or timezone.now()
    least = 10
    if start < now - tables.SAMPLE.keep:
        least = MINUTE
    if start < now - tables.MINUTE.keep:
        least = HOUR
    span = (end - start).total_seconds()
    wanted = span / max(1, points - 1)  # the first bucket begins before the range
    for step in STEPS:
        if step >= least and step >= wanted:
            return step
    return DAY * math.ceil(wanted / DAY)


def read(
    subjects: Sequence[str],
    metrics: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    points: int = 300,
    step: int | None = None,
    now: datetime | None = None,
) -> Answer:
    """Read a range. Raises `Invalid` for one that is empty, too long or in too many buckets."""
    now = now or timezone.now()
    if end <= start:
        raise Invalid("The range ends before it begins.", field="to")
    if end - start > MAX_SPAN:
        raise Invalid("The range is longer than ten years.", field="from")
    step = step or step_for(start, end, points, now=now)
    first = math.floor(start.timestamp() / step) * step
    times = list(range(first, math.ceil(end.timestamp()), step))
    if len(times) > MAX_POINTS:
        raise Invalid(f"That would be more than {MAX_POINTS} points.", field="step")
    found = [Values(subject, metric, *_empty(len(times))) for subject in subjects for metric in metrics]
    answer = Answer(first, math.ceil(end.timestamp()), step, times, found)
    _fill(answer, subjects, metrics, now)
    return answer


def _empty(size: int) -> tuple[list[float | None], list[float | None], list[float | None]]:
    return [None] * size, [None] * size, [None] * size


def _fill(answer: Answer, subjects: Sequence[str], metrics: Sequence[str], now: datetime) -> None:
    ids = dict(Series.objects.filter(subject__in=subjects).values_list("id", "subject"))
    if not ids:
        return
    start, end = (datetime.fromtimestamp(at, UTC) for at in (answer.start, answer.end))
    sql, parameters = statement(metrics, answer.step, list(ids), start, end, now)
    places = {(values.subject, values.metric): values for values in answer.series}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        for series_id, bucket, *numbers in cursor:
            index = (bucket - answer.start) // answer.step
            if not 0 <= index < len(answer.times):
                continue
            for place, metric in enumerate(metrics):
                values = places[ids[series_id], metric]
                least, mean, greatest = numbers[3 * place : 3 * place + 3]
                values.least[index], values.mean[index], values.greatest[index] = least, mean, greatest


def statement(
    metrics: Sequence[str], step: int, ids: Collection[int], start: datetime, end: datetime, now: datetime
) -> tuple[str, dict[str, Any]]:
    """One statement over the table that fits the step and, for what is not rolled up yet, the one below it."""
    source = _source(metrics, step, start, end, now)
    aggregates = ", ".join(
        f"min({name}_min)::float8, sum({name}_mean::float8 * {name}_n) / nullif(sum({name}_n), 0), "
        f"max({name}_max)::float8"
        for name in metrics
    )
    # A bucket's number: integer arithmetic, because date_bin on every row costs more.
    sql = f"""
        SELECT series_id, (floor(extract(epoch FROM at) / %(step)s) * %(step)s)::bigint AS bucket, {aggregates}
        FROM ({source[0]}) source GROUP BY series_id, bucket
    """
    return sql, {"step": step, "ids": list(ids), **source[1]}


def _source(
    metrics: Sequence[str], step: int, start: datetime, end: datetime, now: datetime
) -> tuple[str, dict[str, Any]]:
    if step < MINUTE:
        return _raw(metrics, "start", "end"), {"start": start, "end": end}
    if step < HOUR:
        border = min(end, max(start, _rolled_up_to("minute", now)))
        below = _raw(metrics, "border", "end")
        table = tables.MINUTE
    else:
        whole = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        border = min(end, max(start, whole))
        minutes = min(end, max(border, _rolled_up_to("minute", now)))
        below = f"{_rolled(tables.MINUTE, metrics, 'border', 'minutes')} UNION ALL {_raw(metrics, 'minutes', 'end')}"
        sql = f"{_rolled(tables.HOUR, metrics, 'start', 'border')} UNION ALL {below}"
        return sql, {"start": start, "border": border, "minutes": minutes, "end": end}
    sql = f"{_rolled(table, metrics, 'start', 'border')} UNION ALL {below}"
    return sql, {"start": start, "border": border, "end": end}


def _rolled(table: tables.Table, metrics: Sequence[str], start: str, end: str) -> str:
    columns = ", ".join(f"{name}_min, {name}_mean, {name}_max, {name}_n" for name in metrics)
    return f"SELECT series_id, at, {columns} FROM {table.name} WHERE {_where(start, end)}"


def _raw(metrics: Sequence[str], start: str, end: str) -> str:
    columns = ", ".join(
        f"{name} AS {name}_min, {name} AS {name}_mean, {name} AS {name}_max, ({name} IS NOT NULL)::int AS {name}_n"
        for name in metrics
    )
    return f"SELECT series_id, at, {columns} FROM {tables.SAMPLE.name} WHERE {_where(start, end)}"


def _where(start: str, end: str) -> str:
    return f"series_id = ANY(%(ids)s) AND at >= %({start})s AND at < %({end})s"


def _rolled_up_to(resolution: str, now: datetime) -> datetime:
    """Until when the rollups are whole: two minutes ago, earlier when the job that makes them is behind."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(at) FROM monitoring_stale WHERE resolution = %s AND at >= %s", [resolution, now - LONGEST_TAIL]
        )
        (oldest,) = cursor.fetchone()
    settled = (now - TAIL).replace(second=0, microsecond=0)
    return min(settled, oldest) if oldest else settled


def metrics_of(subjects: Sequence[str], *, now: datetime | None = None) -> dict[str, list[str]]:
    """Which metrics were measured of each subject within the last day."""
    now = now or timezone.now()
    known = ", ".join(f"bool_or({name} IS NOT NULL)" for name in BY_NAME)
    sql = f"""
        SELECT series.subject, {known} FROM monitoring_series series
        JOIN {tables.SAMPLE.name} sample ON sample.series_id = series.id
        WHERE series.subject = ANY(%s) AND sample.at >= %s GROUP BY series.subject
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(subjects), now - timedelta(hours=1)])
        return {
            subject: [name for name, is_there in zip(BY_NAME, flags, strict=True) if is_there]
            for subject, *flags in cursor
        }


def newest(
    metrics: Sequence[str],
    *,
    subjects: Collection[str] | None = None,
    seconds: int = 60,
    now: datetime | None = None,
) -> dict[str, dict[str, float]]:
    """The mean of the last moments of every subject (or of those named) that was measured then."""
    now = now or timezone.now()
    chosen = "" if subjects is None else "AND series.subject = ANY(%s)"
    means = ", ".join(f"avg({name})::float8" for name in metrics)
    sql = f"""
        SELECT series.subject, {means} FROM {tables.SAMPLE.name} sample
        JOIN monitoring_series series ON series.id = sample.series_id
        WHERE sample.at > %s AND sample.at <= %s {chosen} GROUP BY series.subject
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [now - timedelta(seconds=seconds), now, *([] if subjects is None else [list(subjects)])])
        return {
            subject: {name: value for name, value in zip(metrics, values, strict=True) if value is not None}
            for subject, *values in cursor
        }
