"""Games in containers, from the API to players and back to nothing, on a real Docker Engine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.tests.factories import token_for
from hub.jobs import node_queue
from hub.nodes import reconcile
from hub.nodes.choices import AddressState, OperationStatus
from hub.nodes.models import Address, Operation
from hub.nodes.sweep import tick
from hub.testing import api_client, run_jobs, wait_until
from hub.tests.docker_images import image
from servers import protocols, services
from servers.models import GameServer

from .docker_house import DockerHouse, open_docker_house
from .faults import work

pytestmark = [pytest.mark.docker, pytest.mark.django_db]
START_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.1)


def client_of(house: DockerHouse) -> Any:
    _, plain = token_for(house.owner)
    return api_client(plain)


def create(house: DockerHouse, client: Any, **asked: Any) -> GameServer:
    """Create a server as an integrator would, and do the agent's work until it runs."""
    body = {"name": "arena", "template": house.template.slug, "region": house.node.region.slug, **asked}
    answer = client.post("/api/v1/servers", body, format="json")
    assert answer.status_code == 201, answer.json()
    work(house.node, house.is_settled, seconds=START_SECONDS)
    return GameServer.objects.get(pk=answer.json()["id"])


def end(house: DockerHouse, client: Any, server: GameServer) -> None:
    """Delete it through the API; nothing of it may be left."""
    assert client.delete(f"/api/v1/servers/{server.pk}").status_code == 202
    work(house.node, house.is_settled, seconds=START_SECONDS)
    assert house.traces() == []
    assert not Address.objects.filter(state=AddressState.LEASED).exists()
    assert house.complaints() == []


def stop(house: DockerHouse, client: Any, server: GameServer) -> int:
    """Stop it through the API; answers the container's own exit code."""
    assert client.post(f"/api/v1/servers/{server.pk}/stop").status_code == 202
    work(house.node, house.is_settled, seconds=START_SECONDS)
    server.refresh_from_db()
    assert server.observed_status == "stopped"
    return int(house.container(server)["State"]["ExitCode"])


@pytest.fixture
def sample_house() -> Iterator[DockerHouse]:
    with open_docker_house() as house:
        yield house


def test_sample_lives_from_api_to_players_to_nothing(sample_house: DockerHouse) -> None:
    client = client_of(sample_house)
    server = create(sample_house, client, values={"MOTD": "Hello from a container"})
    address = server.address
    assert address is not None

    status = protocols.query("minecraft", address.ip, address.port, timeout=2)
    with socket.create_connection((address.ip, address.port), timeout=5) as player:
        player.sendall(b"50\n")
        greeting = player.recv(200)
    code = stop(sample_house, client, server)

    assert status.detail == "Hello from a container"
    assert greeting
    assert code == 0
    end(sample_house, client, server)


@pytest.mark.slow
def test_teeworlds_is_played_on_its_leased_port_and_stopped_by_its_console() -> None:
    with open_docker_house(template="teeworlds", image=image("teeworlds")) as house:
        client = client_of(house)
        server = create(house, client, values={"GAME_NAME": "In a box", "MAX_CLIENTS": 6})
        address = server.address
        assert address is not None

        status = protocols.query("teeworlds", address.ip, address.port, timeout=2)
        command = services.send_command(server, "sv_map", actor=house.owner)
        run_jobs(node_queue(house.node.name))
        command.refresh_from_db()
        code = stop(house, client, server)

        assert (status.players, status.max_players) == (0, 6)
        assert (command.status, command.answer.reveal()) == ("done", "Value: dm1")
        assert status.detail.startswith("In a box, map dm1")
        assert code == 0, "only its console ends it in order"
        assert Operation.objects.filter(verb="stop").get().status == OperationStatus.DONE
        end(house, client, server)


@pytest.mark.slow
def test_minetest_is_played_on_its_leased_port_keeps_its_world_and_ends_in_order() -> None:
    with open_docker_house(template="minetest", image=image("minetest")) as house:
        client = client_of(house)
        server = create(house, client, values={"WORLD_NAME": "In a box"})
        address = server.address
        assert address is not None

        first = protocols.query("minetest", address.ip, address.port, timeout=2)
        seed = seed_of(house, server)
        code = stop(house, client, server)
        client.post(f"/api/v1/servers/{server.pk}/start")
        work(house.node, house.is_settled, seconds=START_SECONDS)
        again = protocols.query("minetest", address.ip, address.port, timeout=2)

        assert first.detail == again.detail == "accepts joins"
        assert code == 0
        assert seed
        assert seed_of(house, server) == seed
        end(house, client, server)


def seed_of(house: DockerHouse, server: GameServer) -> str:
    """What a world was made from at random, when it was made."""
    api, name = house.engine.client.api, server.engine_name
    command = ["/bin/sh", "-c", "grep ^seed /data/world/map_meta.txt"]
    return str(api.exec_start(api.exec_create(name, command)["Id"]).decode())


def test_rcon_is_reached_by_the_agent_and_by_nobody_else_until_it_is_published(sample_house: DockerHouse) -> None:
    client = client_of(sample_house)
    server = create(sample_house, client)
    before = published_ports(sample_house, server)

    client.post(f"/api/v1/servers/{server.pk}/publish-port", {"port_name": "rcon"}, format="json")
    work(sample_house.node, sample_house.is_settled, seconds=START_SECONDS)

    server.refresh_from_db()
    held = {address.name: address.port for address in server.leased_addresses}
    assert before == [25565]
    assert published_ports(sample_house, server) == [25565, 25575]
    with socket.create_connection(("127.0.0.1", held["rcon"] or 0), timeout=5):
        pass


def published_ports(house: DockerHouse, server: GameServer) -> list[int]:
    """Ports inside the container that are reached from outside."""
    bound = house.container(server)["HostConfig"]["PortBindings"]
    return sorted({int(name.partition("/")[0]) for name in bound})


def test_no_secret_is_in_labels_or_arguments(sample_house: DockerHouse) -> None:
    server = create(sample_house, client_of(sample_house))
    found = sample_house.container(server)

    told = json.dumps([found["Config"]["Labels"], found["Args"], found["Path"], found["Config"]["Cmd"]])

    assert server.rcon_password.reveal() not in told


def test_log_is_brought_to_the_page(sample_house: DockerHouse) -> None:
    client = client_of(sample_house)
    server = create(sample_house, client)
    client.get(f"/api/v1/servers/{server.pk}/log")

    def brought() -> str:
        tick(sample_house.node)
        return str(client.get(f"/api/v1/servers/{server.pk}/log").json()["text"])

    assert "Server ready" in wait_until(brought, what="a log")
