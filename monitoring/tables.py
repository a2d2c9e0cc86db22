"""The partitioned tables of samples and rollups: their columns, their partitions, made ahead and dropped.

A partition is attached rather than made with PARTITION OF, which would lock the whole table against readers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from .metrics import NAMES

logger = logging.getLogger(__name__)

SAMPLE_COLUMNS: Final = ("series_id", "at", *NAMES, "cores")
LOCK = 0x6B_75_74_61  # of whoever makes partitions
LOCK_TIMEOUT = "3s"


@dataclass(frozen=True)
class Table:
    """One partitioned table. `ahead` is how many partitions are ready before they are needed."""

    name: str
    step: str  # "day" or "month"
    ahead: int
    setting: str

    @property
    def keep(self) -> timedelta:
        return timedelta(days=getattr(settings, self.setting))

    def start_of(self, day: date) -> date:
        return day if self.step == "day" else day.replace(day=1)

    def after(self, start: date) -> date:
        if self.step == "day":
            return start + timedelta(days=1)
        return (start + timedelta(days=31)).replace(day=1)

    def partition(self, start: date) -> str:
        return f"{self.name}_{start:%Y%m%d}"


SAMPLE: Final = Table("monitoring_sample", "day", 3, "HUB_SAMPLES_DAYS")
MINUTE: Final = Table("monitoring_minute", "day", 3, "HUB_MINUTES_DAYS")
HOUR: Final = Table("monitoring_hour", "month", 2, "HUB_HOURS_DAYS")
TABLES: Final = (SAMPLE, MINUTE, HOUR)

_known: set[str] = set()


def partitions(table: Table) -> list[tuple[date, str]]:
    """The partitions that exist, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass ORDER BY 1", [table.name]
        )
        names = [name for (name,) in cursor.fetchall()]
    return [(datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date(), name) for name in names]


def ensure(table: Table, days: Iterable[date]) -> None:
    """Make the partitions that hold these days; those known to exist cost nothing."""
    wanted = {table.partition(start): start for start in map(table.start_of, days)}
    missing = sorted(wanted.keys() - _known)
    if not missing:
        return
    have = {name for _, name in partitions(table)}
    todo = [name for name in missing if name not in have]
    if todo:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            have = {name for _, name in partitions(table)}
            for name in todo:
                if name not in have:
                    _attach(table, name, wanted[name])
    if not connection.in_atomic_block:  # else it may be rolled back
        _known.update(missing)


def _attach(table: Table, name: str, start: date) -> None:
    bounds = f"FROM ('{start} 00:00+00') TO ('{table.after(start)} 00:00+00')"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES {bounds}")


def forget_known() -> None:
    """Look up anew which partitions there are: somebody has dropped one."""
    _known.clear()


def ahead(now: datetime | None = None) -> None:
    """Make today's partitions and those of the days ahead."""
    today = (now or timezone.now()).date()
    for table in TABLES:
        start, days = table.start_of(today), []
        for _ in range(table.ahead + 1):
            days.append(start)
            start = table.after(start)
        ensure(table, days)


@dataclass(frozen=True)
class Expired:
    """A partition whose time is over."""

    table: Table
    name: str
    bytes: int


def expired(now: datetime | None = None) -> Iterator[Expired]:
    """Partitions that lie wholly before what is kept."""
    now = now or timezone.now()
    with connection.cursor() as cursor:
        for table in TABLES:
            border = (now - table.keep).date()
            for start, name in partitions(table):
                if table.after(start) <= border:
                    cursor.execute("SELECT pg_total_relation_size(%s::regclass)", [name])
                    yield Expired(table, name, cursor.fetchone()[0])


def drop(name: str) -> None:
    """Drop a partition; gives up soon when somebody reads for long, and the next run tries again."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        cursor.execute(f"DROP TABLE {name}")
    _known.discard(name)


def drop_expired(now: datetime | None = None) -> list[Expired]:
    """Drop what is over and say what went."""
    gone = list(expired(now))
    for each in gone:
        drop(each.name)
        logger.info("dropped %s, %d bytes", each.name, each.bytes)
    return gone
