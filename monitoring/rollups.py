"""Roll samples up to minutes, and minutes to hours: least, mean, greatest, count of each metric.

Incremental and idempotent: only minutes and hours with new samples are made, each from all that is there, and made
again when late samples come. What the transaction does not see yet is rolled up by the next one (see `Stale`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from . import tables
from .metrics import NAMES

AT_ONCE = 120
SETTLE = timedelta(seconds=15)  # agents deliver the end of a minute a little later


def _aggregate(name: str, least: str, mean: str, greatest: str, count: str) -> str:
    return f"{least} AS {name}_min, {mean} AS {name}_mean, {greatest} AS {name}_max, {count} AS {name}_n"


COLUMNS = [f"{name}_{part}" for name in NAMES for part in ("min", "mean", "max", "n")]
_FROM_SAMPLES = ", ".join(
    _aggregate(name, f"min({name})", f"avg({name})", f"max({name})", f"nullif(count({name}), 0)") for name in NAMES
)
_FROM_MINUTES = ", ".join(
    _aggregate(
        name,
        f"min({name}_min)",
        f"sum({name}_mean::float8 * {name}_n) / sum({name}_n)",
        f"max({name}_max)",
        f"sum({name}_n)",
    )
    for name in NAMES
)
_STORE = """
    INSERT INTO {into} (series_id, at, {names})
    SELECT series_id, date_trunc('{unit}', at, 'UTC') AS bucket, {aggregates}
    FROM {source} WHERE at >= %(from)s AND at < %(to)s GROUP BY series_id, bucket
    ON CONFLICT (series_id, at) DO UPDATE SET {changes}
"""
_CHANGES = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)


def _statement(into: tables.Table, source: tables.Table, unit: str, aggregates: str) -> str:
    return _STORE.format(
        into=into.name, source=source.name, unit=unit, aggregates=aggregates, names=", ".join(COLUMNS), changes=_CHANGES
    )


_MINUTES = _statement(tables.MINUTE, tables.SAMPLE, "minute", _FROM_SAMPLES)
_HOURS = _statement(tables.HOUR, tables.MINUTE, "hour", _FROM_MINUTES)


def roll_up(now: datetime | None = None) -> tuple[int, int]:
    """Make all minutes and hours that are over and due; says how many of each."""
    now = now or timezone.now()
    minutes = hours = 0
    while done := _roll("minute", now - SETTLE):
        minutes += done
    while done := _roll("hour", now - SETTLE):
        hours += done
    return minutes, hours


def _roll(resolution: str, now: datetime) -> int:
    """One transaction's worth, the oldest first."""
    unit = timedelta(minutes=1) if resolution == "minute" else timedelta(hours=1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            WITH due AS (
                SELECT at FROM monitoring_stale WHERE resolution = %s AND at <= %s GROUP BY at ORDER BY at LIMIT %s
            )
            DELETE FROM monitoring_stale stale USING due WHERE stale.resolution = %s AND stale.at = due.at
            RETURNING stale.at
            """,
            [resolution, now - unit, AT_ONCE, resolution],
        )
        times = sorted({at for (at,) in cursor.fetchall()})
        if not times:
            return 0
        table = tables.MINUTE if resolution == "minute" else tables.HOUR
        tables.ensure(table, {at.date() for at in times})
        for first, last in _runs(times, unit):
            span = {"from": first, "to": last + unit}
            cursor.execute(_MINUTES if resolution == "minute" else _HOURS, span)
        if resolution == "minute":
            hours = sorted({at.replace(minute=0, second=0, microsecond=0) for at in times})
            cursor.execute(
                "INSERT INTO monitoring_stale (resolution, at) SELECT 'hour', at FROM unnest(%s::timestamptz[]) AS at",
                [hours],
            )
    return len(times)


def _runs(times: list[datetime], unit: timedelta) -> list[tuple[datetime, datetime]]:
    """Neighbouring times as one range each."""
    runs: list[tuple[datetime, datetime]] = []
    for at in times:
        if runs and at - runs[-1][1] == unit:
            runs[-1] = (runs[-1][0], at)
        else:
            runs.append((at, at))
    return runs
