"""Counters of what happens in jobs and agents, told from the rows that these leave, whatever process wrote them.

Rows are forgotten one day, counters must never fall. So what ended more than an hour ago is added to `Tally` once an
hour, up to a mark that moves in the same transaction; a reading is the tallies and the rows since the mark. Rows behind
a mark may be deleted. An hour is longer than any transaction, so no row appears behind the mark later.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from .models import Tally, TallyMark

SETTLED = timedelta(hours=1)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
Labels = tuple[tuple[str, str], ...]
Row = tuple[str, dict[str, str], float]
Reading = dict[tuple[str, Labels], float]
Count = Callable[[datetime, datetime | None], Iterable[Row]]
"""Names, labels and how many, of rows that ended after one time and, if given, not after the other."""

_sources: dict[str, Count] = {}


def register(source: str, count: Count) -> None:
    """Add a table to be counted; apps do this in `AppConfig.ready`."""
    _sources[source] = count


def read() -> dict[str, list[tuple[dict[str, str], float]]]:
    """All counters by name: labels and value."""
    found: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for source, count in _sources.items():
        for (name, labels), value in _read_one(source, count).items():
            found[name].append((dict(labels), value))
    return found


def marks() -> dict[str, datetime]:
    """Up to when the rows of each source have been added; what ended before may be deleted."""
    return dict(TallyMark.objects.values_list("source", "until"))


def add_up() -> None:
    """Move every mark to an hour ago."""
    for source, count in _sources.items():
        with transaction.atomic():
            TallyMark.objects.get_or_create(source=source, defaults={"until": BEGINNING})
            mark = TallyMark.objects.select_for_update().get(source=source)
            until = max(mark.until, _now() - SETTLED)
            for (name, labels), value in _summed(count(mark.until, until)).items():
                add(source, name, dict(labels), value)
            TallyMark.objects.filter(pk=mark.pk).update(until=until)


def add(source: str, name: str, labels: dict[str, str], value: float) -> None:
    """Add to a counter at once, for what leaves no row of its own."""
    sql = """
        INSERT INTO hub_tally AS known (source, name, labels, value) VALUES (%s, %s, %s, %s)
        ON CONFLICT (source, name, labels) DO UPDATE SET value = known.value + excluded.value
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [source, name, json.dumps(labels), value])


def _read_one(source: str, count: Count) -> Reading:
    """Again when the mark moves meanwhile: then rows would be counted twice."""
    while True:
        before = _mark(source)
        rows = [(tally.name, tally.labels, tally.value) for tally in Tally.objects.filter(source=source)]
        rows += count(before, None)
        if _mark(source) == before:
            return _summed(rows)


def _mark(source: str) -> datetime:
    return TallyMark.objects.filter(source=source).values_list("until", flat=True).first() or BEGINNING


def _summed(rows: Iterable[Row]) -> Reading:
    found: Reading = defaultdict(float)
    for name, labels, value in rows:
        found[name, tuple(sorted(labels.items()))] += value
    return found


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        return cursor.fetchone()[0]
