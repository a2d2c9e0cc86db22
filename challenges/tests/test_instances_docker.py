"""Three teams with two challenges each on a real Docker Engine: addresses, flags, walls between them, and their end."""

from __future__ import annotations

import http.server
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from challenges import flags, services
from challenges.models import Challenge, Instance
from hub.engines.docker import DockerEngine
from hub.engines.docker.__main__ import clear
from hub.nodes import ips, reconcile
from hub.nodes.choices import PoolKind
from hub.nodes.engines import engine_for
from hub.nodes.sweep import sweep, tick
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import empty_queues, wait_until
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

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.django_db]

SECONDS = 90.0
ROW = "the one row"
SERVES = "mkdir -p /tmp/www && {} > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"
WEB = SERVES.format("cat /flag")
SHOP = "until wget -qO /tmp/row http://db:5000/row; do sleep 0.1; done; " + SERVES.format("(cat /tmp/row; echo $FLAG)")
DATABASE = f"mkdir /tmp/db && echo {ROW} > /tmp/db/row && exec httpd -f -p 5000 -h /tmp/db"


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
        """What a program in an instance's main container gets from an address; "" for nothing within two seconds."""
        api = self.docker.client.api
        asked = api.exec_create(instance.engine_name, ["timeout", "2", "wget", "-q", "-O", "-", url], stderr=False)
        return str(api.exec_start(asked["Id"]).decode())

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
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - an address of our own
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
def neighbour(ip: str) -> Iterator[str]:
    """A page on this machine itself, as the hub's own would be."""
    server = http.server.ThreadingHTTPServer((ip, 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{ip}:{server.server_port}/"
    finally:
        server.shutdown()


@pytest.fixture
def arena(monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.1)
    options = {"namespace": f"test-{uuid.uuid4().hex[:8]}"}
    node = NodeFactory(engine="docker", options=options)
    lb_pool(node, first_ip="10.204.77.1", last_ip="10.204.77.6")
    PoolFactory(
        node=node, kind=PoolKind.SUBNETS, first_ip="10.205.77.0", last_ip="10.205.77.64", prefix_length=29,
        first_port=None, last_port=None,
    )  # fmt: skip
    event = EventFactory(node=node, region=node.region)
    teams = [TeamFactory() for _ in range(3)]
    for team in teams:
        participate(event, team)
    try:
        yield Docker(node, event, teams)
    finally:
        clear(DockerEngine(node=node.name, options=options))


def test_three_teams_with_two_challenges_each_from_launch_to_nothing(arena: Docker):
    web, shop = runs(arena.event, WEB), runs(arena.event, SHOP, sidecar=True)
    made = {(team.pk, one.pk): arena.launch(team, one) for team in arena.teams for one in (web, shop)}
    arena.run(list(made.values()))

    # Addresses and flags.
    lines = {key: arena.fresh(one).connections[0] for key, one in made.items()}
    pages = {key: page(line.url) for key, line in lines.items()}
    wanted = {
        (team.pk, one.pk): flags.flag_for(one.flags.get(), team, arena.event)
        for team in arena.teams
        for one in (web, shop)
    }
    assert len(set(wanted.values())) == 6
    assert all(wanted[key] in pages[key] for key in made), pages
    assert all(ROW in pages[team.pk, shop.pk] for team in arena.teams)
    assert len({lines[team.pk, web.pk].ip for team in arena.teams}) == 3
    for team in arena.teams:
        assert lines[team.pk, web.pk].ip == lines[team.pk, shop.pk].ip
        assert {lines[team.pk, one.pk].port for one in (web, shop)} == {8080, 20000}

    # Walls: what answers to this machine answers to no instance, not even of the same team.
    first, second = arena.teams[0], arena.teams[1]
    others = [made[second.pk, web.pk], made[second.pk, shop.pk], made[first.pk, shop.pk]]
    targets = [lines[second.pk, web.pk].url, lines[second.pk, shop.pk].url, lines[first.pk, shop.pk].url]
    targets += [f"http://{arena.own_address(one)}:8080/" for one in others]
    targets += [f"http://{arena.own_address(made[second.pk, shop.pk])}:5000/row"]
    gateway = arena.own_address(made[first.pk, web.pk]).rpartition(".")[0] + ".1"
    with neighbour(gateway) as own_page, neighbour(lines[first.pk, web.pk].ip) as on_team_address:
        targets += [own_page, on_team_address]
        assert [url for url in targets if not page(url)] == [], "a target that does not answer proves nothing"
        attacker = made[first.pk, web.pk]
        assert wanted[first.pk, web.pk] in arena.inside(attacker, "http://127.0.0.1:8080/"), "the tool works"
        assert [url for url in targets if arena.inside(attacker, url)] == []
        own = {targets[2], f"http://{arena.own_address(others[2])}:8080/"}
        assert [url for url in targets if url not in own and arena.inside(others[2], url)] == []

    # Reset keeps flag, address and time left.
    before = arena.fresh(made[first.pk, shop.pk])
    services.reset_instance(before, actor=first.captain, kind="redeploy")
    arena.settle(
        lambda: (now := arena.fresh(before)).observed_status == "running" and now.generation == 2, "the reset instance"
    )
    after = arena.fresh(before)
    assert (after.connections, after.expires_at) == (before.connections, before.expires_at)
    assert wanted[first.pk, shop.pk] in page(after.connections[0].url)

    # Redis emptied, and a container lost behind the hub's back.
    empty_queues()
    lost = made[second.pk, web.pk]
    arena.docker.client.api.remove_container(lost.engine_name, force=True)
    sweep(arena.node)
    Instance.objects.update(restart_after=None, next_check_at=timezone.now())
    arena.settle(lambda: wanted[second.pk, web.pk] in page(lines[second.pk, web.pk].url), "the lost instance")

    # Expiry: containers, files, networks and in the end the address go.
    third = arena.teams[2]
    Instance.objects.filter(team=third).update(expires_at=timezone.now() - timedelta(seconds=1))
    gone = [made[third.pk, one.pk] for one in (web, shop)]
    arena.settle(lambda: all(arena.fresh(one).observed_status == "deleted" for one in gone), "the end of two instances")
    assert not [name for name in arena.traces() if any(one.engine_name in name for one in gone)]
    assert ips.count(arena.node) == {"free": 3, "leased": 2, "quarantined": 1, "blocked": 0, "waiting": 0}
    assert page(lines[third.pk, web.pk].url) == ""

    # The end of the event takes the rest.
    services.end_for_event(arena.event)
    arena.settle(lambda: not Instance.objects.alive().exists(), "the end of all instances")
    assert arena.traces() == set()
    assert ips.count(arena.node)["leased"] == 0


def test_sidecar_that_ends_is_told_of_and_started_again(arena: Docker):
    shop = runs(arena.event, SHOP, sidecar=True)
    instance = arena.launch(arena.teams[0], shop)
    arena.run([instance])
    arena.docker.client.api.remove_container(f"{instance.engine_name}-db", force=True)

    Instance.objects.update(next_check_at=timezone.now())
    began = time.monotonic()
    arena.settle(lambda: arena.inside(instance, "http://db:5000/row") == f"{ROW}\n", "the database")

    assert time.monotonic() - began < SECONDS
    assert arena.fresh(instance).observed_status == "running"
