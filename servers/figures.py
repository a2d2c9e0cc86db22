"""What game servers tell Prometheus: servers by state, how many were provisioned, and how long that took."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from hub import metering, own_figures, tallies
from hub.nodes.choices import ObservedStatus, OperationStatus

from .models import GameServer

LAUNCHES = ("create", "start", "restart")
DONE, FAILED = OperationStatus.DONE.value, OperationStatus.FAILED.value


def collect() -> Iterator[Metric]:
    """Servers as they are, and what became of launches."""
    servers = GaugeMetricFamily("servers", "Game servers by what was last seen of them.", labels=["status"])
    found = dict(GameServer.objects.order_by().values_list("observed_status").annotate(number=Count("pk")))
    for status in ObservedStatus.values:
        if status != ObservedStatus.DELETED:
            servers.add_metric([status], found.get(status, 0))
    yield servers

    counted = tallies.read()
    created = {DONE: 0.0, FAILED: 0.0}
    for labels, value in counted["operation_seconds_count"]:
        if labels["kind"] == GameServer.kind and labels["verb"] == "create" and labels["outcome"] in created:
            created[labels["outcome"]] += value
    yield CounterMetricFamily("servers_provisioned", "Servers created that became ready.", value=created[DONE])
    yield CounterMetricFamily("provisioning_errors", "Servers created that failed.", value=created[FAILED])
    yield own_figures.histogram(
        counted,
        "operation_seconds",
        to=HistogramMetricFamily("servers_provisioned_duration_ms", "From the click to a ready server."),
        keep=(),
        only={"kind": (GameServer.kind,), "verb": ("create",), "outcome": (DONE,)},
        factor=1000,
    )
    yield own_figures.histogram(
        counted,
        "operation_seconds",
        to=HistogramMetricFamily("server_launch_duration_seconds", "From the wish to ready.", labels=["node", "verb"]),
        keep=("node", "verb"),
        only={"kind": (GameServer.kind,), "verb": LAUNCHES, "outcome": (DONE,)},
    )


def register() -> None:
    """Tell of servers; called once by the app config."""
    metering.register("servers", collect)
