"""Containers: the hub's own share of a launch, launches by two workers, sampling and sweeping.

The raw limit is `docker run` with the same image, limits, network, ports and a volume. Everything lives in a namespace
of its own and is removed in the end. Where no Engine answers nothing is measured, and a line says so.
"""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import statistics
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection, connections
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import Quota, User
from accounts.roles import PLAYER
from hub.engines.base import EngineError
from hub.engines.docker import DockerEngine
from hub.engines.docker.__main__ import clear
from hub.nodes.choices import ObservedStatus
from hub.nodes.engines import engine_for
from hub.nodes.models import Node, Region
from hub.nodes.reconcile import reconcile
from hub.nodes.services import create_node, create_pool
from hub.nodes.sweep import sweep
from servers.catalogue import sync_catalogue
from servers.images import SAMPLE_IMAGE, provide_sample
from servers.launching import build_spec
from servers.models import GameServer, Template
from servers.services import create_server

from .harness import Figure, benchmark, median_of

ROUNDS = 11
POOL = (27_100, 27_499)
RAW_PORTS = (27_600, 27_999)
SAMPLED, SWEPT, LAUNCHED, WORKERS = 50, 200, 24, 2
MEMORY_MB, DISK_MB = 1024, 5000
MANY = 1_000_000
SCRATCH = "/tmp"  # noqa: S108 - inside the container


class House:
    """A node on this machine's Engine, with an owner, and bare containers beside it to compare with."""

    def __init__(self) -> None:
        settings.HUB_CREATES_PER_HOUR = MANY
        sync_catalogue()
        region, _ = Region.objects.get_or_create(slug="bench", defaults={"name": "Bench"})
        name = f"docker-{uuid.uuid4().hex[:8]}"
        Node.objects.update(is_enabled=False)  # those of other benchmarks
        self.node = create_node(
            actor=SYSTEM, name=name, region=region, engine="docker", options={"namespace": f"bench-{name}"}
        )
        create_pool(
            actor=SYSTEM,
            node=self.node,
            name="games",
            first_ip="127.0.0.1",
            first_port=POOL[0],
            last_port=POOL[1],
            quarantine_seconds=0,
        )
        self.owner = User.objects.create(username=name, email=f"{name}@example.org")
        self.owner.groups.add(Group.objects.get(name=PLAYER))
        Quota.objects.create(user=self.owner, servers=MANY, memory_mb=MANY * 10, cpu_percent=MANY, disk_mb=MANY * 10)
        self.template = Template.objects.get(slug="sample")
        self.numbers = itertools.count()
        self.raw_ports = itertools.cycle(range(*RAW_PORTS))

    @property
    def engine(self) -> DockerEngine:
        """This process's own."""
        engine = engine_for(self.node)
        if not isinstance(engine, DockerEngine):
            raise TypeError("the node of this benchmark runs containers")
        return engine

    def create(self) -> GameServer:
        """What a request does: owner and node locked, quota counted, port leased, wish and audit written."""
        return create_server(
            actor=SYSTEM,
            owner=self.owner,
            name=f"arena {next(self.numbers)}",
            template=self.template,
            region=self.node.region,
            memory_mb=MEMORY_MB,
            disk_mb=DISK_MB,
        )

    def launch(self) -> None:
        """From the request to a container that runs, without the wait for a worker."""
        start_container(self.create())

    def bare(self) -> None:
        """The same container by the docker command."""
        bare_run(next(self.raw_ports), self.engine.names.network, self.engine.names.namespace)

    def fill(self, count: int) -> None:
        """So many servers that run and that nobody has to look at."""
        engine = self.engine
        later = timezone.now() + timedelta(hours=1)
        for _ in range(count):
            server = self.create()
            engine.ensure(build_spec(server, list(server.addresses()), engine))
            GameServer.objects.filter(pk=server.pk).update(
                observed_status=ObservedStatus.RUNNING, observed_at=timezone.now(), next_check_at=later
            )


def start_container(server: GameServer) -> None:
    """The worker's step that ends with a running container."""
    reconcile(GameServer, server.pk)
    server.refresh_from_db()
    if server.observed_status not in (ObservedStatus.STARTING, ObservedStatus.RUNNING):
        raise RuntimeError(f"{server} is {server.observed_status}: {server.status_reason}")


def bare_run(port: int, network: str, namespace: str) -> None:
    """One command, which makes the volume, too."""
    name, label = f"bare-{uuid.uuid4().hex[:12]}", f"kutanga-bench={namespace}"
    command = ["docker", "run", "--detach", "--name", name, "--label", label, "--network", network, "--init"]
    command += ["--memory", f"{MEMORY_MB}m", "--memory-swap", f"{MEMORY_MB}m", "--cpus", "1", "--pids-limit", "257"]
    command += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]
    command += ["--tmpfs", SCRATCH, "--env", f"DATA_DIR={SCRATCH}"]
    command += ["--mount", f"type=volume,source={name},target=/data,volume-label={label}"]
    for protocol in ("tcp", "udp"):
        command += ["--publish", f"127.0.0.1:{port}:25565/{protocol}"]
    subprocess.run([*command, f"{SAMPLE_IMAGE}:latest"], check=True, capture_output=True, timeout=60)


@contextmanager
def open_house() -> Iterator[House | None]:
    """A house of which nothing is left in the end; None where no Engine answers."""
    house = House()
    try:
        house.engine.prepare()
        problem = provide_sample(house.engine)
    except EngineError as error:
        problem = str(error)
    if problem or shutil.which("docker") is None:
        print(f"Docker is not measured: {problem or 'the docker command is missing.'}", flush=True)
        yield None
        return
    try:
        yield house
    finally:
        label = f"label=kutanga-bench={house.engine.names.namespace}"
        for kind, remove in (("ps --all", "rm --force"), ("volume ls", "volume rm")):
            found = subprocess.run(
                ["docker", *kind.split(), "--quiet", "--filter", label], capture_output=True, text=True, check=True
            ).stdout.split()
            if found:
                subprocess.run(["docker", *remove.split(), *found], check=True, capture_output=True)
        clear(house.engine)


def milliseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


@benchmark
def docker_launch() -> Iterator[Figure]:
    """Ours and bare ones in turn, so that both meet the same load."""
    with open_house() as house:
        if house is None:
            return
        house.launch()
        house.bare()
        pairs = [(milliseconds(house.launch), milliseconds(house.bare)) for _ in range(ROUNDS)]
        bare = statistics.median(raw for _, raw in pairs)
        shares = [ours - raw for ours, raw in pairs]
        yield Figure(
            f"hub's own share of request → container running (bare docker run: {bare:.0f} ms)",
            statistics.median(shares),
            "ms",
            150,
            spread=(min(shares), max(shares)),
        )
        ours, spread = median_of(lambda: by_processes(house, launch_many), 3)
        raw, _ = median_of(lambda: by_processes(house, bare_many), 3)
        yield Figure(
            f"containers launched by {WORKERS} workers",
            ours,
            "1/s",
            0.8,
            raw=raw,
            raw_name=f"docker run by {WORKERS} workers",
            at_least=True,
            spread=spread,
        )


def launch_many(house: House, servers: list[GameServer], ports: list[int]) -> None:
    for server in servers:
        start_container(server)


def bare_many(house: House, servers: list[GameServer], ports: list[int]) -> None:
    for port in ports:
        bare_run(port, house.engine.names.network, house.engine.names.namespace)


def by_processes(house: House, work: Callable[[House, list[GameServer], list[int]], None]) -> float:
    """Launches a second by several worker processes; the wishes are there when they begin."""
    servers = [house.create() for _ in range(LAUNCHED)] if work is launch_many else []
    ports = [next(house.raw_ports) for _ in range(LAUNCHED)]
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # what the PostgreSQL backend has
    forks = multiprocessing.get_context("fork")
    workers = [forks.Process(target=work, args=(house, servers[n::WORKERS], ports[n::WORKERS])) for n in range(WORKERS)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a worker of the benchmark failed")
    return LAUNCHED / (time.perf_counter() - start)


@benchmark
def docker_rounds() -> Iterator[Figure]:
    """What an agent does again and again: sample what runs, and compare all of it with the database."""
    with open_house() as house:
        if house is None:
            return
        house.fill(SAMPLED)
        house.engine.usage()
        ours, spread = median_of(lambda: milliseconds(house.engine.usage), ROUNDS)
        yield Figure(f"usage of {SAMPLED} containers, one round", ours, "ms", 50, spread=spread)
        house.fill(SWEPT - SAMPLED)
        sweep(house.node)
        ours, spread = median_of(lambda: milliseconds(lambda: sweep(house.node)), ROUNDS)
        yield Figure(f"sweep over {SWEPT} containers", ours, "ms", 100, spread=spread)
