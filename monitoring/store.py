"""Store samples: COPY, with the number of the agent's batch in the same transaction, so that none is stored twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import IntegrityError, connection, transaction

from . import tables
from .models import Series

T = TypeVar("T")
LOOK_UP_AGAIN_SECONDS = 600  # series may have been deleted
_series: dict[str, int] = {}
_looked_up = [0.0]
_COPY = f"COPY {tables.SAMPLE.name} ({', '.join(tables.SAMPLE_COLUMNS)}) FROM STDIN"
_ADVANCE = """
    INSERT INTO monitoring_feed AS feed (id, name, sequence, at, waiting, dropped) VALUES (%s, %s, %s, now(), %s, %s)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, sequence = excluded.sequence, at = now(),
        waiting = excluded.waiting, dropped = excluded.dropped
    WHERE feed.sequence < excluded.sequence RETURNING id
"""
_STALE = """
    INSERT INTO monitoring_stale (resolution, at)
    SELECT 'minute', minute FROM unnest(%s::timestamptz[]) AS minute
"""


def store_batch(
    lines: Sequence[str], *, feed: uuid.UUID, name: str, sequence: int, waiting: int = 0, dropped: int = 0
) -> bool:
    """Store one or several batches of an agent up to this number; False when they are there already."""

    def work() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(_ADVANCE, [feed, name, sequence, waiting, dropped])
            if cursor.fetchone() is None:
                return False
        _copy(lines)
        return True

    return _twice(work)


def store(lines: Sequence[str]) -> None:
    """Store samples that come from nowhere in particular, such as an integrator's."""
    _twice(lambda: _copy(lines))


def series_ids(subjects: Iterable[str]) -> dict[str, int]:
    """The series of each subject, made where there is none."""
    if time.monotonic() - _looked_up[0] > LOOK_UP_AGAIN_SECONDS:
        _forget()
    known = dict(_series)
    wanted = set(subjects)
    if missing := wanted - known.keys():
        known.update(_look_up(missing))  # first, because an insert that meets a conflict still uses up an id
        if new := missing - known.keys():
            Series.objects.bulk_create([Series(subject=subject) for subject in sorted(new)], ignore_conflicts=True)
            known.update(_look_up(new))
        if not connection.in_atomic_block:  # else it may be rolled back
            _series.update(known)
    return {subject: known[subject] for subject in wanted}


def _look_up(subjects: set[str]) -> Any:
    return Series.objects.filter(subject__in=subjects).values_list("subject", "id")


def _twice(work: Callable[[], T]) -> T:
    """Store in one transaction; once more when a partition that was known to exist has been dropped."""
    try:
        with transaction.atomic():
            return work()
    except IntegrityError:
        _forget()
        with transaction.atomic():
            return work()


def _forget() -> None:
    _series.clear()
    tables.forget_known()
    _looked_up[0] = time.monotonic()


def _copy(lines: Sequence[str]) -> None:
    ids = series_ids({line.partition("\t")[0] for line in lines})
    rows, minutes = [], set()
    for line in lines:
        subject, _, rest = line.partition("\t")
        rows.append(f"{ids[subject]}\t{rest}\n")
        minutes.add(rest[:16])
    times = [datetime.fromisoformat(minute).replace(tzinfo=UTC) for minute in sorted(minutes)]
    tables.ensure(tables.SAMPLE, {at.date() for at in times})
    with connection.cursor() as cursor:
        with cursor.copy(_COPY) as copy:
            copy.write("".join(rows))
        cursor.execute(_STALE, [times])
