"""Clusters: what a launch and a sweep ask of the API server, and the hub's own share of a launch.

The cluster is the tests' stand-in in this process: its figures are of requests and of the hub's CPU, not of a real API
server's speed.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator

from hub.engines.base import Limits, PortBinding, WorkloadSpec
from hub.engines.kubernetes import KubernetesEngine
from hub.tests.cluster import Cluster

from .harness import Figure, benchmark, median_of

LAUNCHED, SWEPT = 20, 200
FIRST_PORT = 25565
START_SECONDS, LOOK_SECONDS = 5, 0.5
REQUESTS_PER_LAUNCH, LISTS_PER_SWEEP, LAUNCH_CPU_MS = 12, 3, 60


def spec_of(number: int) -> WorkloadSpec:
    """A server as templates make them: one address, data, variables."""
    port = PortBinding("game", "192.168.250.100", FIRST_PORT + number, FIRST_PORT)
    return WorkloadSpec(
        kind="server",
        id=uuid.uuid4(),
        generation=1,
        owner="1",
        command=("sleep", "600"),
        limits=Limits(memory_mb=1024, cpu_percent=100, disk_mb=5000),
        image="busybox:1",
        env={"SERVER_NAME": "arena", "MEMORY_MB": "1024"},
        ports=(port,),
        data_path="/data",
    )


@benchmark
def kubernetes() -> Iterator[Figure]:
    """Launches one after the other, then sweeps over many workloads that wait for a machine."""
    cluster = Cluster()
    cluster.store.reads_schemas = False
    cluster.ready_seconds = START_SECONDS
    numbers = iter(range(LAUNCHED + 1))
    asked = _whole_launch(cluster, _engine(cluster), spec_of(next(numbers)))
    cluster.ready_seconds = 0
    KubernetesEngine.preload()
    cpu, spread = median_of(lambda: _cpu_of_a_job(cluster, spec_of(next(numbers))), LAUNCHED)
    cluster.close()
    yield Figure(f"API requests of a launch that takes {START_SECONDS} s", asked, "requests", REQUESTS_PER_LAUNCH)
    yield Figure("the hub's CPU for one launch in a cluster, to running", cpu, "ms", LAUNCH_CPU_MS, spread=spread)
    cluster = Cluster()
    cluster.store.reads_schemas = False
    cluster.unschedulable = "0/1 nodes are available."
    try:
        yield from _measure(cluster)
    finally:
        cluster.close()


def _whole_launch(cluster: Cluster, engine: KubernetesEngine, spec: WorkloadSpec) -> int:
    """All requests from the first look until the program runs, looks as often as the hub takes them included."""
    engine.list_owned()
    engine.prepare()
    while not engine.looks.mirror.is_live:
        time.sleep(0.01)
    cluster.requests.clear()
    _launch(engine, spec)
    return len(cluster.requests)


def _cpu_of_a_job(cluster: Cluster, spec: WorkloadSpec) -> float:
    """All that a job takes: like the agent's workers it has a process of its own, forked from one that has imported."""
    reader, writer = os.pipe()
    if child := os.fork():
        os.close(writer)
        with open(reader, encoding="ascii") as told:
            answer = told.read()
        os.waitpid(child, 0)
        return float(answer)
    try:
        begun = time.process_time()
        _launch(_engine(cluster), spec)
        os.write(writer, str((time.process_time() - begun) * 1000).encode())
    finally:
        os._exit(0)


def _engine(cluster: Cluster) -> KubernetesEngine:
    return KubernetesEngine(node="bench", options={"credentials": {"kubeconfig": cluster.kubeconfig}})


def _launch(engine: KubernetesEngine, spec: WorkloadSpec) -> None:
    engine.inspect(spec.name)
    for port in spec.ports:
        engine.probe_address(port.ip, port.port)
    engine.ensure(spec)
    while not ((seen := engine.inspect(spec.name)) and seen.is_running):
        time.sleep(LOOK_SECONDS)


def _measure(cluster: Cluster) -> Iterator[Figure]:
    engine = _engine(cluster)
    numbers = iter(range(SWEPT + 1))
    cluster.requests.clear()
    engine.ensure(spec_of(next(numbers)))
    yield Figure("API requests that make one workload", len(cluster.requests), "requests", REQUESTS_PER_LAUNCH)
    for number in numbers:
        engine.ensure(spec_of(number))
    cluster.requests.clear()
    held = len(engine.list_owned())
    engine.tidy()
    yield Figure(f"all requests for a sweep of {held} workloads", len(cluster.requests), "requests", LISTS_PER_SWEEP)
