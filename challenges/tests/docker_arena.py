"""An arena whose instances are containers of a real Docker Engine."""

from __future__ import annotations

import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from challenges.models import Challenge, Instance
from hub.engines.docker import DockerEngine
from hub.engines.docker.__main__ import clear
from hub.nodes.choices import PoolKind
from hub.nodes.engines import engine_for
from hub.nodes.sweep import tick
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import wait_until
from hub.tests.docker_images import image

from .arena import Arena, lb_pool
from .factories import (
    ChallengeFactory,
    ContainerFactory,
    EntryFactory,
    EventFactory,
    FlagFactory,
    TeamFactory,
    participate,
)

if TYPE_CHECKING:
    from hub.tests.dockerd import PrivateDaemon

SECONDS = 90.0
ROW = "the one row"
# The first process of a container ends at SIGTERM only if it says so.
SERVES = "trap exit TERM; mkdir -p /tmp/www; {} > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www & wait"
WEB = SERVES.format("cat /flag")
SHOP = "until wget -qO /tmp/row http://db:5000/row; do sleep 0.1; done; " + SERVES.format("(cat /tmp/row; echo $FLAG)")
ASK_ALL = 'for url; do (timeout 5 wget -q -O /dev/null "$url" && echo "$url") & done; wait'
DATABASE = f"trap exit TERM; mkdir /tmp/db; echo {ROW} > /tmp/db/row; httpd -f -p 5000 -h /tmp/db & wait"


class Docker(Arena):
    """The arena with containers."""

    @property
    def docker(self) -> DockerEngine:
        engine = engine_for(self.node)
        assert isinstance(engine, DockerEngine)
        return engine

    def settle(self, done: Callable[[], object], what: str) -> None:
        """Do the agent's work until something is so."""

        def look() -> object:
            tick(self.node)
            return done()

        wait_until(look, SECONDS, pause=0.1, what=what)

    def run(self, instances: Sequence[Instance]) -> None:
        self.settle(lambda: all(self.fresh(one).observed_status == "running" for one in instances), "running instances")

    def inside(self, instance: Instance, url: str) -> str:
        """What a program in an instance's main container gets from an address; "" for nothing within five seconds."""
        api = self.docker.client.api
        asked = api.exec_create(instance.engine_name, ["timeout", "5", "wget", "-q", "-O", "-", url], stderr=False)
        return str(api.exec_start(asked["Id"]).decode())

    def answering(self, instance: Instance, urls: Sequence[str]) -> list[str]:
        """Which of these addresses answer to a program in an instance's main container, all asked at once."""
        api = self.docker.client.api
        asked = api.exec_create(instance.engine_name, ["sh", "-c", ASK_ALL, "ask", *urls], stderr=False)
        answered = api.exec_start(asked["Id"]).decode().split()
        return [url for url in urls if url in answered]

    def own_address(self, instance: Instance) -> str:
        """Its container's address on its own network."""
        seen = self.docker.inspect(instance.engine_name)
        assert seen is not None
        return seen.host

    def traces(self) -> set[str]:
        """Whatever Docker holds of instances."""
        label = {"label": [f"kutanga.namespace={self.docker.names.namespace}"]}
        api = self.docker.client.api
        containers = {name.lstrip("/") for one in api.containers(all=True, filters=label) for name in one["Names"]}
        volumes = {one["Name"] for one in api.volumes(filters=label)["Volumes"] or ()}
        networks = {one["Name"] for one in api.networks(filters=label)}
        return {name for name in containers | volumes | networks if name.startswith("hub-instance-")}


def page(url: str) -> str:
    """What somebody on this machine's network is answered."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - an address of our own
            return str(answer.read().decode())
    except OSError:
        return ""


def runs(event: Any, script: str, *, sidecar: bool = False) -> Challenge:
    challenge = ChallengeFactory(kind="container", flag="")
    shell = {"image": image("busybox"), "memory_mb": 32, "health_kind": "http"}
    ContainerFactory(challenge=challenge, command=["sh", "-c", script], **shell)
    if sidecar:
        shell["health_kind"] = "none"
        ContainerFactory(challenge=challenge, name="db", is_main=False, command=["sh", "-c", DATABASE], port=0, **shell)
    FlagFactory(
        challenge=challenge, kind="team", content="crypto-TRI{{flag_placeholder}}", plant_env="FLAG", plant_path="/flag"
    )
    EntryFactory(event=event, challenge=challenge)
    return challenge


@contextmanager
def open_docker_arena(
    *, teams: int = 3, rest: int | None = None, daemon: PrivateDaemon | None = None
) -> Iterator[Docker]:
    """A running event on the machine's Docker (or a daemon of the test's own) of which nothing is left in the end."""
    options = {"namespace": f"test-{uuid.uuid4().hex[:8]}", "subnet": "10.206.77.0/24", "subnet6": "fd77:7e58::/64"}
    if daemon is not None:
        options |= {"socket": str(daemon.socket), "state_dir": str(daemon.directory)}
    node = NodeFactory(engine="docker", options=options)
    lb_pool(node, first_ip="10.204.77.1", last_ip="10.204.77.6", quarantine_seconds=rest)
    PoolFactory(
        node=node, kind=PoolKind.SUBNETS, first_ip="10.205.77.0", last_ip="10.205.77.64", prefix_length=29,
        first_port=None, last_port=None, quarantine_seconds=rest,
    )  # fmt: skip
    event = EventFactory(node=node, region=node.region)
    arena = Docker(node, event, [TeamFactory() for _ in range(teams)])
    for team in arena.teams:
        participate(event, team)
    try:
        yield arena
    finally:
        if daemon is not None and not daemon.answers():
            daemon.start()
        clear(DockerEngine(node=node.name, options=options))
