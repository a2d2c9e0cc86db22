"""Real game servers from Debian, run from the catalogue on the process engine: what its files say is true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from hub.jobs import node_queue
from hub.nodes.models import Node
from hub.testing import run_jobs
from servers import services
from servers.catalogue import sync_catalogue
from servers.models import GameServer, Template
from servers.protocols.econ import EconClient
from servers.tests.factories import make_server
from servers.tests.machine import engine_of, process_node, settle

MAY_SKIP = os.environ.get("HUB_TEST_ALL") != "1"
TEEWORLDS, MINETEST = Path("/usr/games/teeworlds-server"), Path("/usr/lib/minetest/minetestserver")

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
needs_teeworlds = pytest.mark.skipif(
    MAY_SKIP and not TEEWORLDS.exists(), reason="needs Teeworlds: install it (apt install teeworlds-server)"
)
needs_minetest = pytest.mark.skipif(
    MAY_SKIP and not MINETEST.exists(), reason="needs Minetest: install it (apt install minetest-server)"
)


@pytest.fixture
def node(db: None) -> Iterator[Node]:
    sync_catalogue()
    with process_node() as node:
        yield node


def running(owner: User, node: Node, slug: str, **values: Any) -> GameServer:
    server = make_server(owner=owner, node=node, template=Template.objects.get(slug=slug), values=values)
    return settle(server, "running", timeout=60)


@needs_teeworlds
def test_teeworlds_runs_obeys_its_settings_and_ends_in_order(owner: User, node: Node) -> None:
    server = running(owner, node, "teeworlds", GAME_NAME="Our arena", MAP="ctf1", GAMETYPE="ctf", MAX_CLIENTS=12)
    private = next(address for address in server.leased_addresses if not address.is_public)
    credentials = services.reveal_credentials(server, actor=owner)
    config = engine_of(server).root / server.engine_name / "data" / "hub.cfg"

    with EconClient(private.ip, private.port, credentials.rcon_password) as econ:
        names = [econ.command(setting) for setting in ("sv_name", "sv_map", "sv_gametype")]

    assert names == ["Value: Our arena", "Value: ctf1", "Value: ctf"]
    command = services.send_command(server, "sv_map", actor=owner)
    run_jobs(node_queue(node.name))
    command.refresh_from_db()
    assert (command.status, command.answer.reveal()) == ("done", "Value: ctf1")
    assert server.facts["max_players"] == 12
    assert config.stat().st_mode & 0o077 == 0
    assert not any(credentials.rcon_password.encode() in path.read_bytes() for path in commands())

    services.stop_server(server, actor=owner)
    settle(server, "stopped")
    assert server.exit_code == 0
    assert credentials.rcon_password not in server.stored_log.text


@needs_teeworlds
def test_teeworlds_restarts_on_the_same_ports_with_new_passwords(owner: User, node: Node) -> None:
    server = running(owner, node, "teeworlds")
    before = [str(address) for address in server.leased_addresses]

    services.rotate_credentials(server, actor=owner)
    services.restart_server(server, actor=owner)
    settle(server, "starting")
    settle(server, "running")

    private = next(address for address in server.leased_addresses if not address.is_public)
    password = services.reveal_credentials(server, actor=owner).rcon_password
    with EconClient(private.ip, private.port, password) as econ:
        assert econ.command("sv_gametype") == "Value: dm"
    assert [str(address) for address in server.leased_addresses] == before


@needs_minetest
def test_minetest_runs_and_keeps_its_world(owner: User, node: Node) -> None:
    server = running(owner, node, "minetest", WORLD_NAME="Our $(world) 'quoted'", MAX_USERS=7)
    data = engine_of(server).root / server.engine_name / "data"

    services.stop_server(server, actor=owner)
    settle(server, "stopped", timeout=40)

    assert server.exit_code == 0
    assert (data / "world" / "world.mt").exists()
    assert "server_name = Our $(world) 'quoted'" in (data / "hub.conf").read_text()


def commands() -> list[Path]:
    """The command lines of all processes of this machine."""
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
