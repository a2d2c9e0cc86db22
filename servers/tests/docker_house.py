"""A house whose servers are containers of a real Docker Engine, and what must hold of it when all is settled."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accounts.tests.factories import UserFactory
from hub.engines.docker import DockerEngine
from hub.engines.docker.__main__ import clear
from hub.nodes.choices import ObservedStatus
from hub.nodes.engines import engine_for
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import wait_until
from hub.tests.dockerd import PrivateDaemon
from servers.catalogue import sync_catalogue
from servers.images import provide_sample
from servers.models import GameServer, Template

from .faults import House, free_range

S = ObservedStatus
GONE_SECONDS = 60.0


@dataclass
class DockerHouse(House):
    """One node with containers. `engine` belongs to the process that asks."""

    @property
    def engine(self) -> DockerEngine:  # type: ignore[override]  # its servers are no processes
        engine = engine_for(self.node)
        assert isinstance(engine, DockerEngine)
        return engine

    @property
    def label(self) -> str:
        return f"kutanga.namespace={self.engine.names.namespace}"

    def containers(self) -> list[Mapping[str, Any]]:
        """Every container of this hub, running or not."""
        found: list[Mapping[str, Any]] = self.engine.client.api.containers(all=True, filters={"label": [self.label]})
        return found

    def volumes(self) -> set[str]:
        found = self.engine.client.api.volumes(filters={"label": [self.label]})["Volumes"] or ()
        return {volume["Name"] for volume in found}

    def networks(self) -> set[str]:
        return {network["Name"] for network in self.engine.client.api.networks(filters={"label": [self.label]})}

    def rules(self) -> list[str]:
        """Firewall rules of this hub."""
        saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True, timeout=120).stdout
        return [line for line in saved.splitlines() if self.engine.names.namespace in line]

    def container(self, server: GameServer) -> Any:
        """What Docker tells about a server's container, None for none."""
        return self.engine.client.get(f"/containers/{server.engine_name}/json")

    def traces(self) -> list[str]:
        """Whatever is left of any server."""
        names = [name for container in self.containers() for name in container["Names"]]
        others = self.networks() - {self.engine.names.network}
        return [*names, *self.volumes(), *others]

    def _wrong_processes(self, servers: list[GameServer]) -> Iterator[str]:
        running = {s.engine_name: s.generation for s in servers if s.observed_status == S.RUNNING}
        alive = {s.engine_name for s in servers if s.observed_status != S.DELETED}
        found = {container["Names"][0].lstrip("/"): container for container in self.containers()}
        for name in set(running) - set(found):
            yield f"{name} has no container"
        for name, container in found.items():
            generation = int(container["Labels"]["kutanga.generation"])
            if name not in alive:
                yield f"the engine holds {name}, which nobody knows"
            elif (container["State"] == "running") != (name in running):
                yield f"{name} is {container['State']}"
            elif name in running and generation != running[name]:
                yield f"{name} runs generation {generation}, not {running[name]}"
        for volume in self.volumes() - {f"{name}-data" for name in alive}:
            yield f"{volume} is left"
        for network in self.networks() - {self.engine.names.network}:
            yield f"{network} is left"


@contextmanager
def open_docker_house(
    *, size: int = 12, template: str = "sample", daemon: PrivateDaemon | None = None, **changes: Any
) -> Iterator[DockerHouse]:
    """A house on the machine's Docker (or a daemon of the test's own) of which nothing is left in the end."""
    sync_catalogue()
    options = {"namespace": f"test-{uuid.uuid4().hex[:8]}"}
    if daemon is not None:
        options |= {"socket": str(daemon.socket), "state_dir": str(daemon.directory)}
    node = NodeFactory(engine="docker", options=options)
    PoolFactory(node=node, size=size, first_port=free_range(size), quarantine_seconds=0)
    Template.objects.filter(slug=template).update(stop_grace_seconds=5, **changes)
    house = DockerHouse(node, UserFactory(role="Admin"), Template.objects.get(slug=template), Path())
    if template == "sample" and not changes:
        assert provide_sample(house.engine) == ""
    try:
        yield house
    finally:
        engine = DockerEngine(node=node.name, options=options)
        if daemon is not None and not daemon.answers():
            daemon.start()
        clear(engine)
        wait_until(lambda: not house.rules(), GONE_SECONDS, what="the end of the firewall rules")
