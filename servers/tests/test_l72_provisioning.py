"""LightNode's 38 tests of provisioning (seed L72), asked of this hub."""

from __future__ import annotations

import math
import random
import socket
import string
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory
from hub.engines.base import EngineError, Reason
from hub.engines.fake import FakeEngine
from hub.engines.probe import probe
from hub.nodes import bootstrap, leases
from hub.nodes.models import Address, AddressPool, Node, Region
from hub.nodes.tests.factories import PoolFactory, RegionFactory
from hub.secrets import ALPHANUMERIC, new_password
from hub.testing import api_client, free_port, run_jobs
from servers import services
from servers.models import GameServer
from servers.tests.factories import TemplateFactory, VariableFactory, make_node, make_server
from servers.tests.machine import settle
from servers.variables import of_server

LOOPBACK = "127.0.0.1"


@pytest.fixture
def server(owner: User, node: Node) -> GameServer:
    return GameServer.objects.get(pk=make_server(owner=owner, node=node).pk)


# --- Passwords: 8 -------------------------------------------------------------------------------------------------


def test_l72_password_01_has_12_characters() -> None:
    assert len(new_password()) == 12


def test_l72_password_02_has_the_length_asked_for() -> None:
    assert [len(new_password(length)) for length in (8, 16, 64)] == [8, 16, 64]


def test_l72_password_03_has_71_bits() -> None:
    assert math.log2(len(ALPHANUMERIC)) * len(new_password()) > 71


def test_l72_password_04_has_letters_and_digits_only() -> None:
    assert set(new_password(5000)) <= set(string.ascii_letters + string.digits)


def test_l72_password_05_is_never_the_same() -> None:
    assert len({new_password() for _ in range(2000)}) == 2000


def test_l72_password_06_does_not_follow_a_seed() -> None:
    random.seed(1)
    first = new_password()
    random.seed(1)

    assert new_password() != first


def test_l72_password_07_uses_every_character_alike() -> None:
    counts = Counter(new_password(62_000))

    assert len(counts) == 62
    assert all(700 < count < 1300 for count in counts.values())


@pytest.mark.django_db
def test_l72_password_08_of_each_server_and_purpose_is_another(owner: User, node: Node) -> None:
    template = VariableFactory(key="JOIN_PASSWORD", kind="secret").template
    pks = [make_server(owner=owner, node=node, template=template).pk for _ in range(3)]
    servers = GameServer.objects.filter(pk__in=pks)

    found = {
        secret for server in servers for secret in (server.rcon_password.reveal(), *of_server(server).secret.values())
    }

    assert len(found) == 6


# --- Is a port free: 4 --------------------------------------------------------------------------------------------


def test_l72_port_check_01_finds_a_free_port_free() -> None:
    assert probe(LOOPBACK, free_port()) == ""


def test_l72_port_check_02_finds_a_listening_port_busy() -> None:
    port = free_port()

    with socket.create_server((LOOPBACK, port)):
        assert str(port) in probe(LOOPBACK, port)


def test_l72_port_check_03_finds_a_udp_port_busy() -> None:
    port = free_port()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind((LOOPBACK, port))
        assert "UDP" in probe(LOOPBACK, port)


def test_l72_port_check_04_answers_at_once_and_frees_what_it_tried() -> None:
    port, began = free_port(), time.monotonic()

    assert [probe(LOOPBACK, port) for _ in range(3)] == ["", "", ""]
    assert time.monotonic() - began < 2


# --- Allocation: 4 ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_l72_allocation_01_begins_at_the_lowest_port(server: GameServer) -> None:
    assert str(server.address) == "127.0.0.1:25565"


@pytest.mark.django_db
def test_l72_allocation_02_gives_no_port_twice(owner: User, node: Node) -> None:
    ports = [str(make_server(owner=owner, node=node).address) for _ in range(4)]

    assert len(set(ports)) == 4


@pytest.mark.django_db
def test_l72_allocation_03_keeps_to_435_ports_without_that_of_rcon(settings: Any) -> None:
    bootstrap.run()
    games = AddressPool.objects.get(name="games")

    ports = set(games.addresses.values_list("port", flat=True))

    assert ports == set(range(25565, 26001)) - {25575}
    assert len(ports) == 435


@pytest.mark.django_db
def test_l72_allocation_04_of_a_used_up_pool_waits_and_says_where(owner: User) -> None:
    node = make_node(size=1)
    make_server(owner=owner, node=node)

    assert make_server(owner=owner, node=node).status_reason == "Waiting for a free address, place 1."


# --- Addresses by region: 5 ---------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_l72_ip_01_there_are_four_regions() -> None:
    bootstrap.run()

    assert list(Region.objects.values_list("slug", flat=True)) == [
        "us-east-1",
        "us-west-1",
        "eu-central-1",
        "ap-southeast-1",
    ]


@pytest.mark.django_db
def test_l72_ip_02_belongs_to_the_region_asked_for(owner: User) -> None:
    nodes = {}
    for number, slug in enumerate(("us-east-1", "eu-central-1")):
        node = make_node(region=RegionFactory(slug=slug), size=1)
        Address.objects.filter(node=node).update(ip=f"203.0.113.{number + 1}")
        nodes[slug] = node

    found = {slug: make_server(owner=owner, node=node).address for slug, node in nodes.items()}

    assert {slug: address.ip for slug, address in found.items() if address} == {
        "us-east-1": "203.0.113.1",
        "eu-central-1": "203.0.113.2",
    }


@pytest.mark.django_db
def test_l72_ip_03_follows_the_users_preference() -> None:
    user = UserFactory(region_preference="us-west-1")
    make_node(region=RegionFactory(slug="us-east-1"))
    make_node(region=RegionFactory(slug="us-west-1"))
    TemplateFactory(slug="sample")

    body = api_client(user).post("/api/v1/servers", {"name": "preferred", "template": "sample"}, format="json").json()

    assert body["region"] == "us-west-1"


@pytest.mark.django_db
def test_l72_ip_04_exists_once_per_node(node: Node) -> None:
    pool = PoolFactory(node=node, first_ip="203.0.113.1", size=2)

    with pytest.raises(IntegrityError), transaction.atomic():
        Address.objects.create(pool=pool, node=node, ip="203.0.113.1", port=25565)


@pytest.mark.django_db
def test_l72_ip_05_is_told_with_region(server: GameServer, owner: User) -> None:
    body = api_client(owner).get(f"/api/v1/servers/{server.pk}").json()

    assert (body["addresses"][0]["ip"], body["region"]) == ("127.0.0.1", "eu-central-1")


# --- Credentials: 5 -----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_l72_credentials_01_open_the_panel_with_the_owners_own_account(server: GameServer, owner: User) -> None:
    client = api_client(owner)

    credentials = services.reveal_credentials(server, actor=owner)

    assert client.get(urlsplit(credentials.panel_url).path).status_code == 200
    assert api_client(UserFactory()).get(urlsplit(credentials.panel_url).path).status_code == 404


@pytest.mark.django_db
def test_l72_credentials_02_have_one_password_for_each_purpose(owner: User, node: Node) -> None:
    template = VariableFactory(key="JOIN_PASSWORD", kind="secret").template
    server = make_server(owner=owner, node=node, template=template)

    credentials = services.reveal_credentials(server, actor=owner)

    join_password = credentials.secret_values["JOIN_PASSWORD"]
    assert credentials.rcon_password != join_password
    assert min(len(credentials.rcon_password), len(join_password)) >= 12


@pytest.mark.django_db
def test_l72_credentials_03_have_the_hubs_address_and_no_secret_in_it(
    server: GameServer, owner: User, settings: Any
) -> None:
    settings.HUB_URL = "https://hub.example.org"

    credentials = services.reveal_credentials(server, actor=owner)

    assert credentials.panel_url == f"https://hub.example.org/servers/{server.pk}"


@pytest.mark.django_db
def test_l72_credentials_04_come_with_instructions(server: GameServer, owner: User) -> None:
    credentials = services.reveal_credentials(server, actor=owner)

    assert "Players connect to 127.0.0.1:25565." in credentials.setup_instructions
    assert not any(credentials.rcon_password in line for line in credentials.setup_instructions)


@pytest.mark.django_db
def test_l72_credentials_05_of_two_servers_differ(owner: User, node: Node) -> None:
    both = [services.reveal_credentials(make_server(owner=owner, node=node), actor=owner) for _ in range(2)]

    assert both[0].rcon_password != both[1].rcon_password
    assert both[0].panel_url != both[1].panel_url


# --- Provisioning: 5 ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_l72_provisioning_01_fills_every_field(server: GameServer) -> None:
    assert server.address is not None
    assert all((server.rcon_password, server.node, server.created_at))


@pytest.mark.django_db
def test_l72_provisioning_02_leases_in_the_transaction_that_creates(owner: User, node: Node) -> None:
    with transaction.atomic():
        make_server(owner=owner, node=node)
        transaction.set_rollback(True)

    assert not GameServer.objects.exists()
    assert set(Address.objects.values_list("state", flat=True)) == {"free"}


@pytest.mark.django_db
def test_l72_provisioning_03_answers_before_the_launch_and_then_launches(
    owner: User, engine: FakeEngine, games: Any, node: Node
) -> None:
    server = make_server(owner=owner, node=node)
    assert not engine.calls("ensure")

    run_jobs(f"node:{node.name}")

    assert len(engine.calls("ensure")) == 1
    server.refresh_from_db()
    assert server.observed_status in ("starting", "running")


@pytest.mark.django_db
def test_l72_provisioning_04_is_recorded(server: GameServer) -> None:
    entry = AuditEntry.objects.get(action="server.created")

    assert (entry.target_id, entry.actor_name, entry.region_slug) == (str(server.pk), "owner", "eu-central-1")


@pytest.mark.django_db
def test_l72_provisioning_05_takes_milliseconds_of_the_database(owner: User, node: Node) -> None:
    template = TemplateFactory()
    make_server(owner=owner, node=node, template=template)
    began = time.thread_time()

    make_server(owner=owner, node=node, template=template)

    assert time.thread_time() - began < 0.25


# --- Security: 3 --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_l72_security_01_no_password_lies_in_the_database_in_the_clear(server: GameServer) -> None:
    secret = server.rcon_password.reveal()

    with connection.cursor() as cursor:
        cursor.execute("SELECT s::text FROM servers_gameserver s UNION ALL SELECT a::text FROM accounts_auditentry a")
        rows = [row[0] for row in cursor.fetchall()]

    assert rows
    assert not any(secret in row for row in rows)


@pytest.mark.django_db
def test_l72_security_02_no_answer_but_that_of_reveal_holds_a_password(server: GameServer, owner: User) -> None:
    client, base = api_client(owner), f"/api/v1/servers/{server.pk}"

    answers = [client.get(path).content.decode() for path in ("/api/v1/servers", base, f"{base}/operations")]

    assert not any(server.rcon_password.reveal() in answer for answer in answers)
    assert server.rcon_password.reveal() in client.post(f"{base}/reveal-credentials").content.decode()


@pytest.mark.django_db
def test_l72_security_03_hostile_text_is_refused_as_a_name_and_stored_literally_elsewhere(
    owner: User, node: Node
) -> None:
    hostile = "'); DROP TABLE servers_gameserver; --"
    TemplateFactory(slug="sample")
    client = api_client(owner)
    asked = {"template": "sample", "region": node.region.slug, "memory_mb": 1024, "disk_mb": 5000}

    refused = client.post("/api/v1/servers", {**asked, "name": hostile[:32]}, format="json")
    stored = client.post("/api/v1/servers", {**asked, "name": "O'Brien -- 1", "description": hostile}, format="json")

    assert refused.status_code == 400
    assert (stored.json()["name"], stored.json()["description"]) == ("O'Brien -- 1", hostile)


# --- Integration: 2 -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_l72_integration_01_five_at_once_get_five_ports() -> None:
    node = make_node(size=8)
    owners, template = [UserFactory() for _ in range(5)], TemplateFactory()
    barrier = threading.Barrier(5)

    def create(owner: User) -> str:
        try:
            barrier.wait(60)
            return str(make_server(owner=owner, node=node, template=template, name="at once").address)
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        addresses = list(pool.map(create, owners))

    assert len(set(addresses)) == 5


@pytest.mark.django_db
def test_l72_integration_02_a_deleted_server_gives_its_port_back(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    services.delete_server(server, actor=owner)
    settle(server, "deleted")

    leases.end_quarantines(server.node)

    assert Address.objects.get(port=25565).state == "free"


# --- Errors: 2 ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_l72_error_01_a_refused_creation_leaves_nothing(owner: User, node: Node) -> None:
    TemplateFactory(slug="sample")

    answer = api_client(owner).post("/api/v1/servers", {"name": "x", "template": "sample"}, format="json")

    assert answer.status_code == 400
    assert not GameServer.objects.exists()
    assert set(Address.objects.values_list("state", flat=True)) == {"free"}


@pytest.mark.django_db
def test_l72_error_02_a_launch_that_cannot_be_is_a_visible_state_with_its_reason(
    owner: User, engine: FakeEngine, games: Any
) -> None:
    engine.fail("ensure", EngineError("There is no such program.", reason=Reason.REFUSED, permanent=True))
    server = make_server(owner=owner)

    settle(server, "failed")

    assert server.status_reason == "There is no such program."
    assert services.allowed_actions(server, owner)["start"] == ""
