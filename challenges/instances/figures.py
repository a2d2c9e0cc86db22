"""What instances tell Prometheus: how many there are in which state, and how long they took to launch."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from challenges.models import Instance
from hub import metering, own_figures, tallies
from hub.nodes.choices import ObservedStatus, OperationStatus

LAUNCHES = ("create", "start", "redeploy", "reset")


def collect() -> Iterator[Metric]:
    """Instances as they are, and how long launches took."""
    instances = GaugeMetricFamily("instances", "Challenge instances by what was last seen of them.", labels=["status"])
    rows = Instance.objects.alive().order_by().values_list("observed_status")
    found = dict(rows.annotate(number=Count("pk")))
    for status in ObservedStatus.values:
        if status != ObservedStatus.DELETED:
            instances.add_metric([status], found.get(status, 0))
    yield instances
    yield own_figures.histogram(
        tallies.read(),
        "operation_seconds",
        to=HistogramMetricFamily(
            "instance_launch_duration_seconds", "From the wish to ready.", labels=["node", "verb"]
        ),
        keep=("node", "verb"),
        only={"kind": (Instance.kind,), "verb": LAUNCHES, "outcome": (OperationStatus.DONE,)},
    )


def register() -> None:
    """Tell of instances; called once by the app config."""
    metering.register("instances", collect)
