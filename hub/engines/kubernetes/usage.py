"""What workloads use, as metrics-server tells: averages over its windows, added up here to counters."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..base import Usage
from .names import CONTAINER

QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([numkKMGT]i?)?")
FACTORS = {
    None: 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 1024.0,
    "Mi": 1024.0**2,
    "Gi": 1024.0**3,
    "Ti": 1024.0**4,
}


@dataclass
class Meter:
    """The counter of one run of a workload."""

    epoch: str
    cpu_seconds: float = 0.0
    counted_until: str = ""


@dataclass
class Meters:
    """metrics-server tells a rate for each window; a window is counted once."""

    known: dict[str, Meter] = field(default_factory=dict)
    begun: str = field(default_factory=lambda: f"{os.getpid()}-{time.monotonic_ns()}")

    def read(self, pods: Mapping[str, Mapping[str, Any]], metrics: Sequence[Mapping[str, Any]]) -> dict[str, Usage]:
        """Usage by workload; `pods` are the running ones by namespace."""
        found: dict[str, Usage] = {}
        for metric in metrics:
            namespace, name = metric["metadata"]["namespace"], metric["metadata"]["name"]
            pod = pods.get(namespace)
            used = next((one["usage"] for one in metric.get("containers") or () if one["name"] == CONTAINER), None)
            if used is None or pod is None or pod["metadata"]["name"] != name:
                continue
            found[namespace] = self._usage(namespace, pod, metric, used)
        self.known = {namespace: meter for namespace, meter in self.known.items() if namespace in pods}
        return found

    def _usage(
        self, namespace: str, pod: Mapping[str, Any], metric: Mapping[str, Any], used: Mapping[str, str]
    ) -> Usage:
        epoch = f"{pod['metadata']['uid']}:{pod['restarts']}:{self.begun}"
        meter = self.known.get(namespace)
        if meter is None or meter.epoch != epoch:
            meter = self.known[namespace] = Meter(epoch)
        if metric["timestamp"] != meter.counted_until:
            meter.cpu_seconds += quantity(used.get("cpu", "0")) * seconds(metric.get("window", "0s"))
            meter.counted_until = metric["timestamp"]
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        return Usage(
            epoch=epoch,
            at=datetime.now(UTC),
            cpu_seconds_total=meter.cpu_seconds,
            memory_bytes=int(quantity(used.get("memory", "0"))),
            memory_limit_bytes=int(quantity(limits["memory"])),
        )


def quantity(text: str) -> float:
    """One of Kubernetes' quantities; 0 for what is none."""
    match = QUANTITY.fullmatch(text)
    return float(match[1]) * FACTORS.get(match[2], 0.0) if match else 0.0


def seconds(window: str) -> float:
    """A duration as Go writes it, such as `15.02s` or `1m0s`."""
    total = 0.0
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", window):
        total += float(number) * {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}[unit]
    return total
