"""What devices tell Prometheus: how many call and how they are, and what became of deployments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from hub import metering, own_figures, tallies

from .choices import DeviceStatus, Liveness
from .deployments.choices import ENDED, TargetStatus
from .models import Device

SOURCE = "device_deployments"


def count_targets(after: datetime, until: datetime | None) -> Iterator[tallies.Row]:
    """Ends of targets in this time, with how long each took from its last offer.

    Their events are counted: a target may move on from its end, as when it is rolled back, and counters never fall.
    """
    columns = own_figures.buckets_sql("extract(epoch FROM event.at - coalesce(target.offered_at, event.at))")
    sql = f"""
        SELECT event.status, count(*), {columns}
        FROM devices_targetevent event JOIN devices_deploymenttarget target ON target.id = event.target_id
        WHERE event.at > %s AND event.at <= coalesce(%s, 'infinity'::timestamptz) AND event.status = ANY(%s)
        GROUP BY event.status
    """  # noqa: S608 - the columns are constants
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, until, [str(status) for status in ENDED]])
        for status, total, *numbers in cursor.fetchall():
            yield from own_figures.bucket_rows(SOURCE, {"status": status}, total, numbers)


def collect() -> Iterator[Metric]:
    """Devices as they are, and deployments to devices as they ended."""
    calling = GaugeMetricFamily("devices", "Accepted devices by whether they call.", labels=["liveness"])
    accepted: Any = Device.objects.accepted().with_liveness().order_by()
    found = dict(accepted.values_list("liveness").annotate(number=Count("pk")))
    for liveness in Liveness.values:
        calling.add_metric([liveness], found.get(liveness, 0))
    yield calling
    yield GaugeMetricFamily("devices_online", "Accepted devices that call.", value=found.get(Liveness.ONLINE, 0))
    waiting = Device.objects.filter(status=DeviceStatus.PENDING).count()
    yield GaugeMetricFamily("devices_pending", "Devices that nobody has decided about.", value=waiting)

    counted = tallies.read()
    ended = CounterMetricFamily("deployments", "Deployments to single devices that ended.", labels=["status"])
    totals = {labels["status"]: value for labels, value in counted[f"{SOURCE}_count"]}
    for status in ENDED:
        ended.add_metric([status.value], totals.get(status.value, 0))
    yield ended
    yield own_figures.histogram(
        counted,
        SOURCE,
        to=HistogramMetricFamily("deployment_duration_seconds", "From the last offer to success."),
        keep=(),
        only={"status": (TargetStatus.SUCCEEDED,)},
    )


def register() -> None:
    """Tell of devices; called once by the app config."""
    tallies.register(SOURCE, count_targets)
    metering.register("devices", collect)
