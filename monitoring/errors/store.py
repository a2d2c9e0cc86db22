"""Write errors down, grouped, and forget the oldest single ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hub import tallies

from .capture import Failure
from .models import ErrorGroup, ErrorQuerySet, ErrorReport

REPORTS_KEPT = 1_000
TALLY = "errors"

UPSERT = """
    INSERT INTO monitoring_errorgroup AS known (fingerprint, error_type, source, place, message, traceback, count,
        first_seen_at, last_seen_at, version)
    VALUES (%s, %s, %s, %s, %s, %s, 1, %s, %s, %s)
    ON CONFLICT (fingerprint) DO UPDATE SET count = known.count + 1, message = excluded.message,
        traceback = excluded.traceback, place = excluded.place, version = excluded.version,
        last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at), resolved_at = NULL, resolved_by_id = NULL
    RETURNING id
"""


def store(failures: Iterable[Failure]) -> None:
    """Count each in its group, which is open again if it was resolved, and keep the latest thousand."""
    with transaction.atomic():
        for each in failures:
            facts = (each.fingerprint, each.error_type, each.source, each.place, each.message, each.traceback)
            with connection.cursor() as cursor:
                cursor.execute(UPSERT, [*facts, each.at, each.at, settings.VERSION])
                (group_id,) = cursor.fetchone()
            newest = ErrorReport.objects.create(
                group_id=group_id,
                at=each.at,
                message=each.message,
                place=each.place,
                request_id=each.request_id[:64],
                job_id=each.job_id[:64],
                user=each.user[:150],
            )
            if each.source == ErrorGroup.Source.JOB:
                tallies.add(TALLY, "job_errors", {"error_type": each.error_type, "job": each.place}, 1)
            ErrorReport.objects.filter(pk__lte=newest.pk - REPORTS_KEPT).delete()


def nothing(after: datetime, until: datetime | None) -> Sequence[tallies.Row]:
    """Errors of jobs are added to their tally as they are stored; no row waits to be counted."""
    return ()


def collect() -> Iterator[Metric]:
    """Errors of jobs, and how many kinds of error are not resolved."""
    failed = CounterMetricFamily("job_errors", "Unhandled errors outside the web.", labels=["error_type", "job"])
    for labels, value in tallies.read()["job_errors"]:
        failed.add_metric([labels["error_type"], labels["job"]], value)
    yield failed
    number = ErrorGroup.objects.filter(resolved_at=None).count()
    yield GaugeMetricFamily("error_groups_open", "Kinds of error that nobody has resolved.", value=number)


def expired() -> ErrorQuerySet:
    """Groups that were not seen for so long that they are forgotten."""
    before = timezone.now() - timedelta(days=settings.HUB_ERROR_DAYS)
    return ErrorGroup.objects.filter(last_seen_at__lt=before)
