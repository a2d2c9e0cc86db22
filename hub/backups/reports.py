"""What became of each backup and trial restore, for people, health, alerts and Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from hub import health, metering
from hub.logs import scrub
from hub.models import BackupReport

from . import programs
from .wal import SLOT

KEPT = timedelta(days=400)
NODES_COUNT = timedelta(days=1, hours=12)
LAG_BYTES = 64 * 1024**2
LAG = """
    SELECT active, greatest(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn), 0)::bigint
    FROM pg_replication_slots WHERE slot_name = %s
"""


@contextmanager
def reported(kind: str) -> Iterator[BackupReport]:
    """Write down how a piece of work ends; the caller fills in what is known of it."""
    report, began = BackupReport(kind=kind), time.monotonic()
    try:
        yield report
    except Exception as error:
        report.detail = scrub(str(error))[:1000]
        raise
    else:
        report.is_good = True
    finally:
        report.seconds = report.seconds or time.monotonic() - began
        report.save()
        BackupReport.objects.filter(at__lt=timezone.now() - KEPT).delete()


def newest() -> dict[str, BackupReport]:
    """Return the latest report of each kind; what is told of a store that is no longer in use counts no more.

    Nodes report each for itself: theirs is the latest, or the latest of one that has failed in the last day and a half.
    """
    of_nodes = BackupReport.Kind.VOLUMES
    found = BackupReport.objects.exclude(kind=of_nodes).order_by("kind", "-at").distinct("kind")
    of_store = {BackupReport.Kind.STORE, BackupReport.Kind.STORE_WAL}
    place = settings.HUB_BACKUP_STORE[:100]
    latest = {each.kind: each for each in found if each.kind not in of_store or (place and each.name == place)}
    nodes = list(BackupReport.objects.filter(kind=of_nodes).order_by("name", "-at").distinct("name"))
    if nodes:
        last = max(nodes, key=lambda each: each.at)
        bad = (each for each in nodes if not each.is_good and last.at - each.at < NODES_COUNT)
        latest[of_nodes] = next(bad, last)
    return latest


def receiver() -> tuple[bool, int] | None:
    """Whether a receiver of WAL is connected, and how many bytes it lacks; none where there never was one."""
    with connection.cursor() as cursor:
        cursor.execute(LAG, [SLOT])
        row: tuple[bool, int] | None = cursor.fetchone()
        return row


def check_backups() -> health.Finding:
    """Whether WAL is being received, and what the latest backup and trial restore said."""
    found = receiver()
    if found is None or not found[0]:
        return health.Finding(health.DEGRADED, "no receiver of WAL is connected")
    if found[1] > LAG_BYTES:
        return health.Finding(health.DEGRADED, f"the receiver of WAL is {found[1] // 1024**2} MB behind")
    bad = [each.get_kind_display() for each in newest().values() if not each.is_good]
    if bad:
        return health.Finding(health.DEGRADED, f"failed last time: {', '.join(sorted(bad)).lower()}")
    return health.Finding(health.OK, f"WAL is received, {found[1]} bytes behind")


def collect() -> Iterator[Metric]:
    """The figures of backups."""
    good = GaugeMetricFamily("backup_success", "Whether the latest one succeeded.", labels=["kind"])
    at = GaugeMetricFamily("backup_timestamp_seconds", "When the latest one ended.", labels=["kind"])
    seconds = GaugeMetricFamily("backup_duration_seconds", "How long the latest one took.", labels=["kind"])
    size = GaugeMetricFamily("backup_size_bytes", "Size of the latest one.", labels=["kind"])
    for kind, report in newest().items():
        good.add_metric([kind], report.is_good)
        at.add_metric([kind], report.at.timestamp())
        seconds.add_metric([kind], report.seconds)
        size.add_metric([kind], report.bytes)
    yield from (good, at, seconds, size)
    up = GaugeMetricFamily("backup_wal_receiver_up", "Whether a receiver of WAL is connected.")
    behind = GaugeMetricFamily("backup_wal_lag_bytes", "WAL that the receiver does not have on disk yet.")
    if found := receiver():
        up.add_metric([], found[0])
        behind.add_metric([], found[1])
    yield from (up, behind)


def register() -> None:
    """Tell of backups; called once by the app config."""
    metering.register("backups", collect)
    if programs.may_replicate():
        health.register("backups", check_backups)
