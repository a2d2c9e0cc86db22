"""What the tests of the Kubernetes engine share: workloads, and waiting for what they say."""

from __future__ import annotations

import uuid
from typing import Any

from hub.engines.base import Engine, PortBinding, WorkloadSpec
from hub.engines.kubernetes import KubernetesEngine
from hub.testing import wait_until

from .cluster import Cluster
from .harnesses import LIMITS, SLEEPER, Program

GAME = PortBinding("game", "192.168.250.100", 25565, 25565)


def engine_of(cluster: Cluster, **options: Any) -> KubernetesEngine:
    return KubernetesEngine(node="west", options={"credentials": {"kubeconfig": cluster.kubeconfig}, **options})


def spec_of(program: Program = SLEEPER, **changes: Any) -> WorkloadSpec:
    values: dict[str, Any] = {"kind": "server", "id": uuid.uuid4(), "generation": 1, "owner": "7", "limits": LIMITS}
    return WorkloadSpec(**{**values, "image": "busybox:1", "command": ("sh", "-c", program.script), **changes})


def run(engine: Engine, spec: WorkloadSpec) -> WorkloadSpec:
    engine.ensure(spec)
    wait_until(lambda: (seen := engine.inspect(spec.name)) and seen.is_running, what="a running workload")
    return spec


def told(engine: Engine, spec: WorkloadSpec, words: str) -> Any:
    """Wait until the workload says this of itself."""
    return wait_until(
        lambda: seen if (seen := engine.inspect(spec.name)) and words in f"{seen.detail}{seen.restart_cause}" else None,
        what=repr(words),
    )


def verdicts(engine: KubernetesEngine, ips: tuple[str, ...] = ("192.168.250.100",)) -> dict[str, Any]:
    return {check.name: check for check in engine.examine(ips)}
