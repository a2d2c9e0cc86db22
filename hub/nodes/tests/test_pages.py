"""Pages of nodes, regions, pools, addresses and operations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import UserFactory
from hub.nodes.choices import AddressState
from hub.nodes.facts import node_badge, node_facts
from hub.nodes.models import Address, AddressPool, Node, Region
from hub.testing import assert_constant_queries

from .factories import NodeFactory, PoolFactory, RegionFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def node():
    node = NodeFactory(name="harare-1")
    PoolFactory(node=node, name="games")
    return node


@pytest.fixture
def pool(node):
    return AddressPool.objects.get()


def login(client, role):
    client.force_login(UserFactory(role=role))
    return client


def pages(node, pool):
    return {
        "nodes:node_list": (),
        "nodes:node_detail": (node.name,),
        "nodes:node_create": (),
        "nodes:node_update": (node.name,),
        "nodes:node_delete": (node.name,),
        "nodes:region_list": (),
        "nodes:pool_list": (),
        "nodes:pool_create": (),
        "nodes:pool_detail": (pool.pk,),
        "nodes:pool_delete": (pool.pk,),
        "nodes:operation_list": (),
    }


PLAYER = {"nodes:region_list": 200, "nodes:operation_list": 200, "nodes:node_list": 403, "nodes:pool_list": 403}
LOOKS = {"nodes:node_list", "nodes:node_detail", "nodes:region_list", "nodes:pool_list", "nodes:pool_detail"}


@pytest.mark.parametrize(
    "name", sorted(PLAYER | dict.fromkeys(LOOKS | {"nodes:node_create", "nodes:node_update", "nodes:pool_create"}))
)
@pytest.mark.parametrize("role", ["Player", "Viewer", "Operator", "Admin"])
def test_pages_open_for_those_who_may(client, node, pool, name, role):
    changes = name.rpartition("_")[2] in ("create", "update", "delete")
    if role == "Player":
        status = PLAYER.get(name, 403 if name in ("nodes:node_create", "nodes:pool_create") else 404)
    else:
        status = 200 if not changes or role == "Admin" else 403

    assert login(client, role).get(reverse(name, args=pages(node, pool)[name])).status_code == status


def test_every_page_asks_for_a_login(client, node, pool):
    for name, args in pages(node, pool).items():
        assert client.get(reverse(name, args=args)).status_code == 302, name


def test_node_list_costs_the_same_queries_with_more_rows(client, node):
    login(client, "Viewer")

    assert_constant_queries(lambda: client.get(reverse("nodes:node_list")), lambda: NodeFactory.create_batch(5))


def test_pool_list_costs_the_same_queries_with_more_rows(client, node):
    login(client, "Viewer")

    def add_rows():
        for number in range(5):
            PoolFactory(node=node, first_port=30000 + 20 * number)

    assert_constant_queries(lambda: client.get(reverse("nodes:pool_list")), add_rows)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"agent_seen_at": None}, "Never seen"),
        ({"agent_seen_at": timezone.now() - timedelta(hours=1)}, "Not seen"),
        ({"engine_error": "dockerd does not answer"}, "Engine down"),
        ({"is_draining": True}, "Draining"),
        ({"is_enabled": False}, "Off"),
        ({}, "Answering"),
    ],
)
def test_state_of_a_node_in_words(values, word):
    node = NodeFactory(**{"agent_seen_at": timezone.now(), **values})

    assert node_badge(node).word == word


def test_shares_count_what_was_promised(node):
    node.memory_mb = 8192

    memory = node_facts([node])[0].memory

    assert (memory.used, memory.limit, memory.percent) == (0, 8192, 0)


def test_admin_adds_a_node(client, node):
    answer = login(client, "Admin").post(
        reverse("nodes:node_create"),
        {
            "name": "mutare-1",
            "engine": "fake",
            "region": node.region.pk,
            "memory_mb": 8192,
            "cpu_percent": 400,
            "disk_mb": 0,
            "is_enabled": "on",
        },
    )

    assert answer["Location"] == reverse("nodes:node_detail", args=["mutare-1"])
    assert Node.objects.get(name="mutare-1").memory_mb == 8192


def test_node_can_be_set_to_drain(client, node):
    values = {"region": node.region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0}
    login(client, "Admin").post(
        reverse("nodes:node_update", args=[node.name]), {**values, "is_enabled": "on", "is_draining": "on"}
    )

    node.refresh_from_db()
    assert node.is_draining


def test_node_is_removed_with_its_name_typed(client, node):
    login(client, "Admin")
    url = reverse("nodes:node_delete", args=[node.name])

    assert client.post(url, {"typed": "nope"}).status_code == 422

    client.post(url, {"typed": "harare-1"})

    assert not Node.objects.exists()


def test_pool_that_overlaps_is_refused_with_the_reason(client, node, pool):
    values = {"node": node.name, "name": "again", "kind": "host_ports", "first_ip": "127.0.0.1", "is_public": "on"}
    answer = login(client, "Admin").post(
        reverse("nodes:pool_create"), {**values, "first_port": "25565", "last_port": "25570"}
    )

    assert answer.status_code == 422
    assert b"belong to another pool" in answer.content


def test_admin_adds_a_pool(client, node):
    values = {"node": node.name, "name": "more", "kind": "host_ports", "first_ip": "127.0.0.1", "is_public": "on"}
    login(client, "Admin").post(reverse("nodes:pool_create"), {**values, "first_port": "30000", "last_port": "30009"})

    assert AddressPool.objects.get(name="more").addresses.count() == 10


def test_ledger_shows_states_and_finds_a_port(client, pool):
    Address.objects.filter(port=25566).update(state=AddressState.BLOCKED, reason="In use by another program.")
    login(client, "Viewer")
    url = reverse("nodes:pool_detail", args=[pool.pk])

    found = client.get(url, {"q": "25566"}).content.decode()

    assert "In use by another program." in found
    assert "127.0.0.1:25567" not in found


def test_address_is_blocked_and_put_back(client, pool):
    address = pool.addresses.first()
    login(client, "Admin")
    url = reverse("nodes:address_block", args=[address.pk])

    client.post(url, {"block": "yes"})
    address.refresh_from_db()
    assert address.state == AddressState.BLOCKED

    client.post(url, {"block": "no"})
    address.refresh_from_db()
    assert address.state == AddressState.FREE


def test_pool_is_switched_off(client, pool):
    login(client, "Admin").post(reverse("nodes:pool_switch", args=[pool.pk]), {"is_enabled": "no"})

    pool.refresh_from_db()
    assert not pool.is_enabled


def test_region_is_added(client):
    login(client, "Admin").post(reverse("nodes:region_list"), {"name": "Mutare", "slug": "mutare", "position": "9"})

    assert Region.objects.filter(slug="mutare").exists()


def test_region_that_exists_is_refused_at_its_field(client):
    RegionFactory(slug="mutare", name="Mutare")

    answer = login(client, "Admin").post(
        reverse("nodes:region_list"), {"name": "Other", "slug": "mutare", "position": "1"}
    )

    assert answer.status_code == 422


def test_csv_of_the_nodes(client, node):
    assert b"harare-1" in login(client, "Viewer").get(reverse("nodes:node_list"), {"csv": "1"}).content


@pytest.mark.parametrize(("version", "is_told"), [("0.0.9", True), (settings.VERSION, False), ("", False)])
def test_agent_of_another_version_is_told(client, node, version, is_told):
    Node.objects.update(agent_version=version)

    page = login(client, "Admin").get(reverse("nodes:node_detail", args=[node.name])).content.decode()

    assert ("Bring both to the same version." in page) is is_told
