"""What instances tell Prometheus: how many there are in which state."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily, Metric

from challenges.models import Instance
from hub import metering
from hub.nodes.choices import ObservedStatus


def collect() -> Iterator[Metric]:
    """Instances as they are."""
    instances = GaugeMetricFamily("instances", "Challenge instances by what was last seen of them.", labels=["status"])
    rows = Instance.objects.alive().order_by().values_list("observed_status")
    found = dict(rows.annotate(number=Count("pk")))
    for status in ObservedStatus.values:
        if status != ObservedStatus.DELETED:
            instances.add_metric([status], found.get(status, 0))
    yield instances


def register() -> None:
    """Tell of instances; called once by the app config."""
    metering.register("instances", collect)
