"""Each role on each route of regions, nodes, pools, addresses and operations; lists in a constant number of queries."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.tests.factories import UserFactory
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, Operation
from hub.testing import api_client, assert_constant_queries

from .factories import NodeFactory, PoolFactory

pytestmark = pytest.mark.django_db

COLUMNS = ("Admin", "Operator", "Viewer", "Player", "nobody")
POOL = {"node": "n1", "name": "more", "first_ip": "127.0.0.1", "first_port": 28000, "last_port": 28003}

# (method, path, body) and the status for: Admin, Operator, Viewer, Player, nobody.
TABLE = [
    ("get", "/api/v1/regions", None, (200, 200, 200, 200, 401)),
    ("get", "/api/v1/regions/eu-central-1", None, (200, 200, 200, 200, 401)),
    ("post", "/api/v1/regions", {"slug": "moon", "name": "Moon"}, (201, 403, 403, 403, 401)),
    ("get", "/api/v1/nodes", None, (200, 200, 200, 403, 401)),
    ("get", "/api/v1/nodes/n1", None, (200, 200, 200, 403, 401)),
    ("post", "/api/v1/nodes", {"name": "n2", "region": "eu-central-1", "engine": "fake"}, (201, 403, 403, 403, 401)),
    ("patch", "/api/v1/nodes/n1", {"is_draining": True}, (200, 403, 403, 403, 401)),
    ("delete", "/api/v1/nodes/n1", None, (204, 403, 403, 403, 401)),
    ("get", "/api/v1/address-pools", None, (200, 200, 200, 403, 401)),
    ("get", "/api/v1/address-pools/{pool}", None, (200, 200, 200, 403, 401)),
    ("post", "/api/v1/address-pools", POOL, (201, 403, 403, 403, 401)),
    ("patch", "/api/v1/address-pools/{pool}", {"is_enabled": False}, (200, 403, 403, 403, 401)),
    ("delete", "/api/v1/address-pools/{pool}", None, (204, 403, 403, 403, 401)),
    ("get", "/api/v1/addresses", None, (200, 200, 200, 403, 401)),
    ("get", "/api/v1/addresses/{address}", None, (200, 200, 200, 403, 401)),
    ("post", "/api/v1/addresses/{address}/block", {"reason": "used"}, (200, 403, 403, 403, 401)),
    ("post", "/api/v1/addresses/{address}/unblock", None, (409, 403, 403, 403, 401)),
    ("get", "/api/v1/operations", None, (200, 200, 200, 200, 401)),
    ("post", "/api/v1/operations", {}, (405, 405, 405, 405, 401)),
    ("delete", "/api/v1/addresses/{address}", None, (405, 405, 405, 405, 401)),
]
CASES = [
    (method, path, body, role, status)
    for method, path, body, statuses in TABLE
    for role, status in zip(COLUMNS, statuses, strict=True)
]


def client_of(role: str) -> Any:
    return api_client(None if role == "nobody" else UserFactory(role=role))


@pytest.mark.parametrize(("method", "path", "body", "role", "status"), CASES)
def test_each_role_gets_its_answer_on_each_route(method: str, path: str, body: Any, role: str, status: int) -> None:
    pool = PoolFactory(node=NodeFactory(name="n1"), size=3)
    ids = {"pool": pool.pk, "address": Address.objects.first().pk}

    answer = getattr(client_of(role), method)(path.format(**ids), body)

    assert answer.status_code == status, answer.content


def test_pool_counts_its_addresses_by_state() -> None:
    pool = PoolFactory(size=4)
    Address.objects.filter(port=25565).update(state=AddressState.BLOCKED)

    found = client_of("Viewer").get(f"/api/v1/address-pools/{pool.pk}").json()

    assert (found["free"], found["blocked"], found["leased"]) == (3, 1, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"first_port": 40000, "last_port": 40010}, "first_port"),
        ({"first_ip": "0.0.0.0"}, "first_ip"),  # noqa: S104 - refused on purpose
        ({"first_port": 80, "last_port": 90}, "first_port"),
        ({"first_port": 28010, "last_port": 28000}, "last_port"),
        ({"first_ip": "not-an-ip"}, "first_ip"),
        ({"node": "nowhere"}, "node"),
    ],
)
def test_unusable_pool_is_refused_at_its_field(changes: dict[str, Any], field: str) -> None:
    NodeFactory(name="n1")

    answer = client_of("Admin").post("/api/v1/address-pools", {**POOL, **changes})

    assert answer.status_code == 400, answer.content
    assert field in answer.json()["fields"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"first_ip": "192.0.2.7"}, "first_ip"), ({"first_ip": "127.0.0.1", "last_ip": "127.0.0.3"}, "last_ip")],
)
def test_pool_with_an_ip_that_the_node_does_not_have_is_refused(asked: dict[str, str], field: str) -> None:
    NodeFactory(name="n1", agent_facts={"ips": ["127.0.0.1", "127.0.0.2"]})

    answer = client_of("Admin").post("/api/v1/address-pools", {**POOL, **asked})

    assert answer.status_code == 400
    assert "does not have the address" in answer.json()["fields"][field][0]


def test_pool_takes_an_ip_however_it_is_spelled() -> None:
    NodeFactory(name="n1", agent_facts={"ips": ["2001:db8::1"]})

    answer = client_of("Admin").post("/api/v1/address-pools", {**POOL, "first_ip": "2001:db8:0::1"})

    assert answer.status_code == 201, answer.content


def test_pool_of_many_ips_and_many_ports_is_counted_before_it_is_made() -> None:
    NodeFactory(name="n1")
    many = {"first_ip": "198.18.0.1", "last_ip": "198.18.200.1", "first_port": 1024, "last_port": 30000}

    answer = client_of("Admin").post("/api/v1/address-pools", {**POOL, **many})

    assert (answer.status_code, "at most" in answer.json()["detail"]) == (400, True)


def test_overlapping_pool_is_refused_and_leaves_nothing() -> None:
    pool = PoolFactory(node=NodeFactory(name="n1"))

    answer = client_of("Admin").post("/api/v1/address-pools", {**POOL, "first_port": 25570, "last_port": 25580})

    assert answer.status_code == 409
    assert list(pool.node.pools.all()) == [pool]


def test_leased_address_cannot_be_blocked() -> None:
    PoolFactory()
    address = Address.objects.first()
    Address.objects.filter(pk=address.pk).update(state="leased", holder="8c2ab26e-bd2b-4a41-a4b5-d22b5d2fd5b6")

    answer = client_of("Admin").post(f"/api/v1/addresses/{address.pk}/block", {"reason": "x"})

    assert answer.status_code == 409


def test_credentials_never_leave_the_hub() -> None:
    node = NodeFactory(name="n1", credentials='{"registry": "hunter2-canary"}')

    answer = client_of("Admin").get(f"/api/v1/nodes/{node.name}")

    assert "canary" not in answer.content.decode()
    assert "credentials" not in answer.json()


def test_engine_and_name_of_a_node_are_fixed() -> None:
    NodeFactory(name="n1")

    client_of("Admin").patch("/api/v1/nodes/n1", {"name": "other", "engine": "docker"})

    found = client_of("Admin").get("/api/v1/nodes/n1").json()
    assert (found["name"], found["engine"]) == ("n1", "fake")


@pytest.mark.parametrize("path", ["nodes", "address-pools", "addresses?limit=500", "operations", "regions"])
def test_lists_cost_a_constant_number_of_queries(path: str) -> None:
    client = client_of("Admin")
    PoolFactory()

    def add_rows() -> None:
        for _ in range(3):
            node = PoolFactory().node
            Operation.objects.create(
                workload_kind="server",
                workload_id="8c2ab26e-bd2b-4a41-a4b5-d22b5d2fd5b6",
                workload_name="x",
                node=node,
                verb="start",
                generation=1,
                actor_name="a",
            )

    add_rows()
    assert_constant_queries(lambda: client.get(f"/api/v1/{path}"), add_rows)
