"""Moving, publishing and withdrawing ports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, User
from hub.engines.fake import FakeEngine
from hub.exceptions import Conflict, Invalid, LimitReached, TooMany
from hub.nodes import leases
from hub.nodes.models import Address, Node
from hub.nodes.tests.factories import RegionFactory
from servers import services
from servers.models import GameServer
from servers.tests.factories import make_node, make_server
from servers.tests.machine import settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(owner: User, node: Node) -> GameServer:
    server = make_server(owner=owner, node=node)
    Address.objects.filter(holder=server.pk).update(leased_at=timezone.now() - timedelta(minutes=5))
    return server


def test_l75_an_owner_moves_to_another_port_and_the_old_one_rests(server: GameServer, owner: User) -> None:
    operation = services.move_port(server, actor=owner, port_name="game", reason="unlucky number")

    old = Address.objects.get(port=25565)
    assert str(server.address) == "127.0.0.1:25566"
    assert old.state == "quarantined"
    assert old.rest_until > timezone.now() + timedelta(seconds=server.stop_grace_seconds - 5)
    assert operation is not None
    assert operation.verb == "move-port"
    assert AuditEntry.objects.get(action="server.port_moved").data["new"] == "127.0.0.1:25566"


def test_l75_staff_release_a_stuck_port_for_good(server: GameServer, operator: User) -> None:
    services.move_port(server, actor=operator, port_name="game", reason="held by a zombie")

    old = Address.objects.get(port=25565)
    assert (old.state, old.reason) == ("blocked", "held by a zombie")


def test_a_stopped_server_moves_without_being_started(server: GameServer, owner: User) -> None:
    GameServer.objects.update(desired_status="stopped", observed_status="stopped")

    assert services.move_port(server, actor=owner, port_name="game", reason="") is None
    assert server.desired_status == "stopped"


def test_owners_cannot_churn_through_the_pool(server: GameServer, owner: User) -> None:
    services.move_port(server, actor=owner, port_name="game", reason="")

    with pytest.raises(TooMany):
        services.move_port(server, actor=owner, port_name="game", reason="")


def test_without_another_address_everything_stays(owner: User, operator: User) -> None:
    server = make_server(owner=owner, node=make_node(size=1))

    with pytest.raises(LimitReached):
        services.move_port(server, actor=operator, port_name="game", reason="")

    assert Address.objects.get().state == "leased"
    assert str(server.address) == "127.0.0.1:25565"


def test_an_unknown_port_is_refused(server: GameServer, owner: User) -> None:
    with pytest.raises(Invalid) as error:
        services.move_port(server, actor=owner, port_name="nope", reason="")

    assert error.value.field == "port_name"


def test_publishing_leases_and_withdrawing_releases(server: GameServer, owner: User) -> None:
    services.publish_port(server, actor=owner, port_name="rcon")
    opened = [(a.name, a.port, a.is_public) for a in server.leased_addresses]

    services.unpublish_port(server, actor=owner, port_name="rcon")

    assert opened == [("game", 25565, True), ("rcon", 25566, True)]
    assert [a.name for a in server.leased_addresses] == ["game"]
    assert Address.objects.get(port=25566).state == "quarantined"


def test_publishing_on_a_process_node_changes_private_for_public_and_back(owner: User) -> None:
    server = make_server(owner=owner, node=make_node(engine="process", options={"root": "/nowhere"}))

    services.publish_port(server, actor=owner, port_name="rcon")
    opened = [(a.name, a.port) for a in server.leased_addresses]
    services.unpublish_port(server, actor=owner, port_name="rcon")

    assert opened == [("game", 25565), ("rcon", 25566)]
    assert [(a.name, a.is_public) for a in server.leased_addresses] == [("game", True), ("rcon", False)]


def test_withdrawing_while_it_waits_frees_the_line_and_keeps_its_place(owner: User) -> None:
    node = make_node(size=2)
    first, waiting = make_server(owner=owner, node=node), make_server(owner=owner, node=node, published_ports=["rcon"])
    behind = make_server(owner=owner, node=node)

    services.unpublish_port(waiting, actor=owner, port_name="rcon")
    leases.serve_queue(node)

    assert [a.name for a in first.leased_addresses] == ["game"]
    assert (leases.place_in_queue(waiting.pk), leases.place_in_queue(behind.pk)) == (None, 1)
    assert list(waiting.addresses().values_list("port_name", flat=True)) == ["game"]


def test_publishing_twice_changes_nothing(server: GameServer, owner: User) -> None:
    services.publish_port(server, actor=owner, port_name="rcon")

    assert services.publish_port(server, actor=owner, port_name="rcon") is None
    assert Address.objects.filter(holder=server.pk).count() == 2


def test_the_port_for_players_cannot_be_withdrawn(server: GameServer, owner: User) -> None:
    with pytest.raises(Conflict, match="always public"):
        services.unpublish_port(server, actor=owner, port_name="game")


def test_a_moved_server_runs_on_its_new_port(server: GameServer, owner: User, engine: FakeEngine, games: Any) -> None:
    settle(server, "running")

    services.move_port(server, actor=owner, port_name="game", reason="")
    settle(server, "starting")
    settle(server, "running")

    bindings = engine.list_owned()[0].ports
    assert [(b.port, b.target_port) for b in bindings] == [(25566, 25565)]


def test_regions_do_not_lend_ports(owner: User, operator: User) -> None:
    server = make_server(owner=owner, node=make_node(size=1))
    make_node(region=RegionFactory(slug="elsewhere"))

    with pytest.raises(LimitReached):
        services.move_port(server, actor=operator, port_name="game", reason="")
