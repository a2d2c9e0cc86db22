"""A range comes back in at most the asked buckets, from the source that fits, and a gap stays a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hub.exceptions import Invalid
from monitoring import query, rollups, store
from monitoring.measure import Reading

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=2)


def put(start: datetime, count: int, *, every: int = 10, subject: str = "node:local", first: float = 0) -> None:
    lines = [
        Reading(subject, start + timedelta(seconds=every * n), {"cpu_percent": first + n, "net_in": 1.0}).line()
        for n in range(count)
    ]
    store.store(lines)


def ask(start: datetime, end: datetime, **options: object) -> query.Answer:
    return query.read(["node:local"], ["cpu_percent"], start, end, now=NOW, **options)


def test_short_range_is_read_from_samples():
    put(NOON, 3)

    answer = ask(NOON, NOON + timedelta(seconds=50), step=10)

    assert answer.series[0].mean == [0, 1, 2, None, None]
    assert [at - answer.start for at in answer.times] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize(
    ("hours", "points"), [(1, 60), (1, 7), (24, 300), (24 * 7, 500), (24 * 30, 100), (24 * 700, 90)]
)
def test_there_are_never_more_buckets_than_asked(hours: int, points: int):
    answer = ask(NOW - timedelta(hours=hours, seconds=7), NOW, points=points)

    assert len(answer.times) <= points
    assert len(answer.times) >= min(points, 12) // 3


def test_bucket_tells_least_mean_and_greatest():
    put(NOON, 12)
    rollups.roll_up(NOW)

    values = ask(NOON, NOON + timedelta(minutes=2), step=60).series[0]

    assert (values.least, values.mean, values.greatest) == ([0, 6], [2.5, 8.5], [5, 11])


def test_rollups_and_what_is_not_rolled_up_yet_join_without_a_seam():
    put(NOW - timedelta(minutes=20), 6 * 20)
    raw = ask(NOW - timedelta(minutes=20), NOW, step=60).series[0]
    rollups.roll_up(NOW - timedelta(minutes=10))
    half = ask(NOW - timedelta(minutes=20), NOW, step=60).series[0]
    rollups.roll_up(NOW)
    rolled = ask(NOW - timedelta(minutes=20), NOW, step=60).series[0]

    assert raw.mean == half.mean == rolled.mean == [6 * n + 2.5 for n in range(20)]
    assert raw.greatest == half.greatest == rolled.greatest


def test_newest_points_are_there_while_rollups_are_behind():
    put(NOW - timedelta(minutes=30), 6 * 30)

    values = ask(NOW - timedelta(minutes=30), NOW, step=60).series[0]

    assert None not in values.mean


def test_wide_buckets_weigh_means_by_count():
    put(NOON - timedelta(hours=3), 6, first=100)
    put(NOON - timedelta(hours=3) + timedelta(minutes=30), 2)
    rollups.roll_up(NOW)

    values = ask(NOON - timedelta(hours=3), NOON - timedelta(hours=2), step=3600).series[0]

    assert values.mean == [pytest.approx((102.5 * 6 + 0.5 * 2) / 8)]
    assert (values.least, values.greatest) == ([0], [105])


def test_range_in_hours_ends_in_the_present():
    put(NOW - timedelta(minutes=10), 12)

    values = ask(NOW - timedelta(hours=5), NOW, step=3600).series[0]

    assert values.mean == [None, None, None, None, 5.5]


def test_several_subjects_are_read_together():
    put(NOON, 2)
    put(NOON, 1, subject="server:1", first=7)

    answer = query.read(
        ["node:local", "server:1"], ["cpu_percent", "net_in"], NOON, NOON + timedelta(seconds=20), step=10, now=NOW
    )

    found = {(values.subject, values.metric): values.mean for values in answer.series}
    assert found == {
        ("node:local", "cpu_percent"): [0, 1],
        ("node:local", "net_in"): [1, 1],
        ("server:1", "cpu_percent"): [7, None],
        ("server:1", "net_in"): [1, None],
    }


@pytest.mark.parametrize(
    ("start", "end", "options"),
    [
        (NOON, NOON, {}),
        (NOON, NOON - timedelta(hours=1), {}),
        (NOON - timedelta(days=5000), NOON, {}),
        (NOON - timedelta(days=30), NOON, {"step": 10}),
    ],
    ids=["empty", "backwards", "too long", "too many"],
)
def test_range_that_makes_no_sense_is_refused(start: datetime, end: datetime, options: dict[str, int]):
    with pytest.raises(Invalid):
        ask(start, end, **options)


def test_newest_tells_what_every_subject_uses_now():
    put(NOW - timedelta(seconds=30), 2)
    put(NOW - timedelta(hours=1), 2, subject="server:1")

    assert query.newest(["cpu_percent"], now=NOW) == {"node:local": {"cpu_percent": 0.5}}
