"""Games on a cluster, from the click to players and back to nothing, through the adapter against our stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from hub.nodes import reconcile
from hub.nodes.agent import beat
from hub.nodes.choices import AddressState, OperationStatus
from hub.nodes.models import Address, Node, Operation
from hub.nodes.sweep import sweep, tick
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import wait_until
from hub.tests.cluster import Cluster
from hub.tests.cluster.role import shipped_role
from hub.tests.cluster.walls import answers
from servers import services
from servers.models import GameServer

from .factories import GAME, TemplateFactory, make_server

pytestmark = pytest.mark.django_db

SECONDS = 60.0
IP, PLAYER = "192.168.250.130", "203.0.113.9"
PLAYS = "trap 'exit 0' TERM; echo played >> games; echo Ready to play; sleep 600 & wait"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(shipped_role())
    cluster.linger_seconds, cluster.store.reads_schemas = 0.05, False
    yield cluster
    cluster.close()


@pytest.fixture
def node(db: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Node:
    for name in ("POLL_SECONDS", "START_POLL_SECONDS"):
        monkeypatch.setattr(reconcile, name, 0.1)
    monkeypatch.setattr("hub.engines.kubernetes.engine.GONE_SECONDS", 0.2)
    node = NodeFactory(engine="kubernetes")
    node.credentials = json.dumps({"kubeconfig": cluster.kubeconfig})
    node.save()
    PoolFactory(node=node, first_ip=IP, size=3)
    return node


def make_game(node: Node, owner: User, **values: Any) -> GameServer:
    template = TemplateFactory(
        image="kutanga/game:1",
        image_command=["sh", "-c", PLAYS],
        data_path="/data",
        ports=[GAME],
        readiness_kind="log",
        readiness_pattern="Ready to play",
    )
    return make_server(node=node, owner=owner, template=template, **values)


def settle(server: GameServer, done: Callable[[], object]) -> None:
    """Do the agent's work until something is so."""

    def look() -> object:
        tick(server.node)
        server.refresh_from_db()
        return done()

    sweep(server.node)
    try:
        wait_until(look, SECONDS, pause=0.05, what="the agent's work")
    except AssertionError as error:
        raise AssertionError(f"{error}: {server.observed_status}, {server.status_reason}") from None


def test_a_kubeconfig_that_cannot_be_opened_is_told_until_it_can(node: Node, owner: User, settings: Any) -> None:
    server, ring = make_game(node, owner), settings.HUB_KEY_RING
    key = next(iter(ring))
    told = f"The credentials of the node {node.name} cannot be opened: There is no key for k{key} in HUB_SECRET_KEYS."

    settings.HUB_KEY_RING = {"other": b"n" * 32}
    sweep(node)
    reconcile.reconcile(GameServer, server.pk)
    beat(node)
    for one in (server, node):
        one.refresh_from_db()
    waiting = (server.observed_status, server.status_reason)
    GameServer.objects.update(next_check_at=timezone.now())
    settings.HUB_KEY_RING = ring
    settle(server, lambda: server.observed_status == "running")

    assert (node.engine_error, node.is_agent_alive) == (told, True)
    assert waiting == ("queued", f"{told} The hub tries again.")


def test_a_game_lives_on_a_cluster_from_the_click_to_nothing(node: Node, cluster: Cluster, owner: User) -> None:
    cluster.address_seconds = 3600
    server = make_game(node, owner)
    (address,) = server.addresses()

    # It runs once its address has been read back, and not before.
    settle(server, lambda: server.status_reason == f"Waiting for the load balancer to give {IP}.")
    assert (server.observed_status, len(cluster.pods)) == ("starting", 1)
    cluster.address_seconds = 0
    settle(server, lambda: server.observed_status == "running")
    (service,) = cluster.objects("services", server.engine_name)
    assert service["status"]["loadBalancer"]["ingress"] == [{"ip": IP}]
    assert answers(cluster, IP, address.port, PLAYER) == [(server.engine_name, 25565)]

    # Stopped, its world stays; started, it goes on at the same address.
    services.stop_server(server, actor=owner)
    settle(server, lambda: server.observed_status == "stopped")
    wait_until(lambda: cluster.objects("pods") == [], what="the end of its pod")
    assert answers(cluster, IP, address.port, PLAYER) == []
    services.start_server(server, actor=owner)
    settle(server, lambda: server.observed_status == "running")
    world = Path(cluster.volumes[server.engine_name, "data"], "games")
    assert world.read_text() == "played\nplayed\n"
    assert answers(cluster, IP, address.port, PLAYER) == [(server.engine_name, 25565)]

    # Deleted, its address is kept from others until the namespace is not found, and then rests.
    cluster.stuck.add(server.engine_name)
    services.delete_server(server, actor=owner)
    settle(server, lambda: "deleting" in server.status_reason)
    address.refresh_from_db()
    assert (server.observed_status, address.state) == ("deleting", AddressState.LEASED)
    cluster.stuck.clear()
    settle(server, lambda: server.observed_status == "deleted")
    address.refresh_from_db()
    assert (address.state, address.holder) == (AddressState.QUARANTINED, None)
    assert {plural for plural, _, _ in cluster.store.objects} == {"namespaces", "ipaddresspools", "l2advertisements"}
    assert [one["metadata"]["name"] for one in cluster.objects("namespaces")] == ["metallb-system"]
    Address.objects.filter(pk=address.pk).update(rest_until=timezone.now() - timedelta(seconds=1))
    tick(node)
    address.refresh_from_db()
    assert address.state == AddressState.FREE
    assert set(Operation.objects.values_list("verb", "status")) == {
        (verb, OperationStatus.DONE) for verb in ("create", "stop", "start", "delete")
    }
