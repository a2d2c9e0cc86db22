"""One verb for many rows, with a result for each."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError

from hub import bulk
from hub.exceptions import Conflict
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, Operation, Region
from hub.nodes.tests.factories import RegionFactory
from hub.testing import api_client, count_queries
from servers import services
from servers.models import GameServer
from servers.tests.factories import make_server

from .world import World, make_world

pytestmark = pytest.mark.django_db

URL = "/api/v1/servers/bulk"


@pytest.fixture
def world() -> World:
    return make_world()


def ask(world: World, role: str, verb: str, *ids: Any, url: str = URL, **more: Any) -> Any:
    client = api_client(world.people[role])
    return client.post(url, {"verb": verb, "ids": [str(each) for each in ids], **more}, format="json")


def test_one_refusal_does_not_undo_the_others() -> None:
    rows = [RegionFactory(slug=slug) for slug in ("a", "b", "c")]

    def rename(region: Region) -> str:
        region.name = f"new {region.slug}"
        region.save()
        if region.slug == "b":
            raise Conflict("Not this one.")
        return region.name

    results = bulk.for_each(rows, rename)

    assert [result.value for result in results] == ["new a", None, "new c"]
    assert list(Region.objects.order_by("slug").values_list("name", flat=True)) == ["new a", "B", "new c"]


@pytest.mark.parametrize(
    ("error", "status"), [(IntegrityError("duplicate"), 409), (RuntimeError("bug"), 500), (Conflict("No."), 409)]
)
def test_no_error_keeps_the_others_from_their_result(error: Exception, status: int) -> None:
    rows = [RegionFactory(slug=slug) for slug in ("a", "b")]

    def fail_first(region: Region) -> None:
        if region.slug == "a":
            raise error

    first, second = bulk.for_each(rows, fail_first)

    assert (first.problem and first.problem.status, second.is_done) == (status, True)
    assert "bug" not in str(first.problem)


def test_each_server_has_its_own_result(world: World) -> None:
    stopped = make_server(owner=world.person("owner"), node=world.node, template=world.template, name="stopped")
    services.stop_server(stopped, actor=world.person("owner"))
    strangers = make_server(owner=world.person("stranger"), node=world.node, template=world.template)
    nowhere = uuid4()

    answer = ask(world, "owner", "start", world.server.pk, stopped.pk, strangers.pk, nowhere)

    assert answer.status_code == 200
    rows = answer.json()
    assert [(row["id"], row["status"]) for row in rows] == [
        (str(world.server.pk), 200),
        (str(stopped.pk), 202),
        (str(strangers.pk), 404),
        (str(nowhere), 404),
    ]
    assert (rows[0]["operation"], rows[1]["operation"]["verb"]) == (None, "start")
    assert (
        rows[2]["error"]
        == rows[3]["error"]
        == {
            "code": "not_found",
            "detail": "There is no such object, or none that you may see.",
        }
    )


def test_refusal_says_why(world: World) -> None:
    services.suspend_server(world.server, actor=world.person("admin"), reason="Spam")

    (row,) = ask(world, "owner", "start", world.server.pk).json()

    assert row["error"] == {"code": "not_now", "detail": "It is suspended: Spam"}


def test_same_id_twice_is_one_row(world: World) -> None:
    assert len(ask(world, "owner", "stop", world.server.pk, world.server.pk).json()) == 1
    assert Operation.objects.filter(verb="stop").count() == 1


def test_operator_reaches_servers_of_others(world: World) -> None:
    (row,) = ask(world, "operator", "delete", world.server.pk).json()

    assert (row["status"], GameServer.objects.get().desired_status) == (202, "deleted")


@pytest.mark.parametrize("role", ["viewer", "nobody"])
def test_who_may_use_the_verb_on_none_is_refused(world: World, role: str) -> None:
    assert ask(world, role, "stop", world.server.pk).status_code == (403 if role == "viewer" else 401)


@pytest.mark.parametrize(
    ("verb", "ids", "field"),
    [("explode", [uuid4()], "verb"), ("stop", [], "ids"), ("stop", ["7"], "ids.0"), ("stop", [uuid4()] * 201, "ids")],
)
def test_bad_input_names_its_field(world: World, verb: str, ids: list[Any], field: str) -> None:
    answer = ask(world, "owner", verb, *ids)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_reading_costs_the_same_for_many(world: World) -> None:
    """Each row costs what its service asks; what was asked already costs two queries and their savepoints."""
    owner = world.person("owner")
    servers = [world.server, *(make_server(owner=owner, node=world.node, template=world.template) for _ in range(3))]
    one = count_queries(lambda: ask(world, "owner", "start", servers[0].pk))
    four = count_queries(lambda: ask(world, "owner", "start", *(server.pk for server in servers)))

    assert four - one == 3 * 5


def test_addresses_are_blocked_and_put_back(world: World) -> None:
    url = "/api/v1/addresses/bulk"
    free = list(Address.objects.filter(holder=None).values_list("pk", flat=True)[:2])
    leased = Address.objects.filter(state=AddressState.LEASED).values_list("pk", flat=True)[0]

    blocked = ask(world, "admin", "block", *free, leased, 10**9, url=url, reason="Printer").json()
    back = ask(world, "admin", "unblock", *free, url=url).json()

    assert [row["status"] for row in blocked] == [200, 200, 409, 404]
    assert blocked[2]["error"]["code"] == "address_leased"
    assert [row["status"] for row in back] == [200, 200]
    assert not Address.objects.filter(state=AddressState.BLOCKED).exists()


def test_blocking_needs_a_reason(world: World) -> None:
    answer = ask(world, "admin", "block", world.address.pk, url="/api/v1/addresses/bulk")

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["reason"])


def test_page_uses_the_same_function(world: World) -> None:
    client = api_client(world.person("owner"))

    page = client.post("/servers/bulk", {"verb": "stop", "ids": [str(world.server.pk)]}, format="multipart")

    assert (page.status_code, b"Asked." in page.content) == (200, True)
