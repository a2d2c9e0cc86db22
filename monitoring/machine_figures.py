"""What Prometheus is told of the nodes' machines: how each is now."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from hub import metering
from hub.nodes.models import Node

from . import query

TOLD = {
    "cpu_share": ("machine_cpu_ratio", "Processor in use, of all cores.", 100),
    "memory_bytes": ("machine_memory_bytes", "Memory in use, without the page cache.", 1),
    "memory_share": ("machine_memory_ratio", "Memory in use, of all.", 100),
    "disk_share": ("machine_disk_ratio", "Disk in use, of all.", 100),
    "load": ("machine_load", "Load, average of a minute.", 1),
}


def collect() -> Iterator[Metric]:
    """One gauge for each; a node that was not measured within the last minute has a gap, as in the charts."""
    subjects = [f"node:{name}" for name in Node.objects.filter(is_enabled=True).values_list("name", flat=True)]
    found = query.newest(list(TOLD), subjects=subjects)
    for metric, (name, help_text, factor) in TOLD.items():
        family = GaugeMetricFamily(name, help_text, labels=["node"])
        for subject, values in found.items():
            if metric in values:
                family.add_metric([subject.partition(":")[2]], values[metric] / factor)
        yield family


def register() -> None:
    """Tell of machines; called once by the app config."""
    metering.register("machines", collect)
