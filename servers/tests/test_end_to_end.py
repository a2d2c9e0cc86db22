"""From the API to a game that answers, and back to nothing: on the process engine with the sample server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from accounts.tests.factories import token_for
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, Node, Operation
from hub.testing import api_client
from servers import protocols
from servers.catalogue import sync_catalogue
from servers.models import GameServer
from servers.protocols.rcon import RconClient
from servers.tests.machine import engine_of, process_node, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(db: None) -> Iterator[Node]:
    sync_catalogue()
    with process_node() as node:
        yield node


def create(owner: User, node: Node, **asked: Any) -> GameServer:
    _, plain = token_for(owner)
    body = {"name": "first light", "template": "sample", "region": node.region.slug, **asked}
    answer = api_client(plain).post("/api/v1/servers", body, format="json")
    assert answer.status_code == 201, answer.json()
    return GameServer.objects.get(pk=answer.json()["id"])


def data_of(server: GameServer) -> Path:
    return engine_of(server).root / server.engine_name / "data"


def talk(address: tuple[str, int], *lines: str) -> str:
    """Say some lines to the game as a player with a terminal would."""
    with socket.create_connection(address, timeout=60) as connection:
        stream = connection.makefile("rwb")
        heard = []
        for line in lines:
            stream.write(f"{line}\n".encode())
            stream.flush()
            heard.append(stream.readline())
        return b"".join(heard).decode()


def test_a_server_lives_from_api_to_game_to_nothing(owner: User, node: Node) -> None:
    server = create(owner, node, values={"MOTD": "Hello from the test"})
    settle(server, "running")
    address = server.address
    assert address is not None

    status = protocols.query("minecraft", address.ip, address.port)
    heard = talk((address.ip, address.port), "Ada", "/who")
    assert status.detail == "Hello from the test"
    assert "Welcome!" in heard
    assert server.facts["max_players"] == 20

    client = api_client(owner)
    assert client.post(f"/api/v1/servers/{server.pk}/stop").status_code == 202
    settle(server, "stopped")
    assert server.exit_code == 0
    assert (data_of(server) / "world.json").exists()
    assert "Saved. Goodbye." in server.stored_log.text

    assert client.delete(f"/api/v1/servers/{server.pk}").status_code == 202
    settle(server, "deleted")
    assert engine_of(server).list_owned() == []
    assert list(engine_of(server).root.iterdir()) == []
    assert not Address.objects.filter(holder=server.pk).exists()
    assert not Address.objects.filter(state=AddressState.LEASED).exists()
    with pytest.raises(protocols.ProtocolError):
        protocols.query("minecraft", address.ip, address.port, timeout=0.5)
    assert set(Operation.objects.values_list("verb", "status")) == {
        ("create", "done"),
        ("stop", "done"),
        ("delete", "done"),
    }


def test_data_outlives_a_restart(owner: User, node: Node) -> None:
    server = create(owner, node)
    settle(server, "running")

    api_client(owner).post(f"/api/v1/servers/{server.pk}/restart")
    settle(server, "starting")
    settle(server, "running")

    assert "Start number 2" in "\n".join(engine_of(server).logs(server.engine_name).lines)


def test_rcon_answers_with_the_revealed_password_on_a_private_port(owner: User, node: Node) -> None:
    server = create(owner, node)
    settle(server, "running")
    private = next(address for address in server.leased_addresses if not address.is_public)

    credentials = api_client(owner).post(f"/api/v1/servers/{server.pk}/reveal-credentials").json()

    with RconClient(private.ip, private.port, credentials["rcon_password"]) as rcon:
        assert rcon.command("echo it is me") == "it is me"
    assert credentials["rcon_port"] is None


def test_a_crash_is_named_and_mended(owner: User, node: Node, admin: User) -> None:
    server = create(admin, node, values={"SAMPLE_MODE": "crash_after:0.3:7"})

    settle(server, "crashed")

    assert "exit code 7" in server.status_reason
    assert "Crashing on purpose" in server.stored_log.text


def test_a_stubborn_server_is_killed_after_its_grace(admin: User, node: Node) -> None:
    server = create(admin, node, values={"SAMPLE_MODE": "stubborn"})
    server.template.stop_grace_seconds = 1
    server.template.save(update_fields=["stop_grace_seconds"])
    settle(server, "running")

    api_client(admin).post(f"/api/v1/servers/{server.pk}/stop")
    settle(server, "stopped")

    assert server.exit_code == -9


def test_a_port_taken_by_another_program_is_blocked_and_the_next_one_used(owner: User, node: Node) -> None:
    server = create(owner, node)
    taken = server.address
    assert taken is not None

    with socket.create_server((taken.ip, taken.port)):
        settle(server, "running")

    assert server.address is not None
    assert server.address.port != taken.port
    assert Address.objects.get(port=taken.port, pool__is_public=True).state == AddressState.BLOCKED


def test_a_password_is_not_in_the_arguments_of_any_process(owner: User, node: Node) -> None:
    server = create(owner, node)
    settle(server, "running")
    secret = server.rcon_password.reveal()

    arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]

    assert arguments
    assert not any(secret.encode() in text for text in arguments)
