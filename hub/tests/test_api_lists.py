"""Every list of the API: search, filters, order, pages, chosen fields and CSV, and the same as on its page."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from accounts import lists as account_lists
from accounts.tests.factories import AuditEntryFactory, UserFactory
from hub.api.schema import rendered_document
from hub.nodes import lists as node_lists
from hub.nodes.models import Region
from hub.testing import api_client, assert_constant_queries
from monitoring.alerts import lists as alert_lists
from servers import lists as server_lists
from servers.tests.factories import make_server

from .world import World, make_world

pytestmark = pytest.mark.django_db

NOBODY_IS_CALLED = "zzqqzz"
PAGES = {
    "servers": server_lists.SERVERS,
    "templates": server_lists.TEMPLATES,
    "regions": node_lists.REGIONS,
    "channels": alert_lists.CHANNELS,
    "nodes": node_lists.NODES,
    "address-pools": node_lists.POOLS,
    "addresses": node_lists.ADDRESSES,
    "operations": node_lists.OPERATIONS,
    "servers/{id}/operations": node_lists.OPERATIONS,
    "users": account_lists.USERS,
    "invites": account_lists.INVITES,
    "requests": account_lists.REQUESTS,
    "tokens": account_lists.TOKENS,
    "audit": account_lists.AUDIT,
}
HELD_BY_THE_PATH = {"servers/{id}/operations": {"node"}}
"""Page and API say these in another way."""


def document() -> dict[str, Any]:

    loaded: dict[str, Any] = json.loads(rendered_document("json"))
    return loaded


def lists() -> dict[str, dict[str, Any]]:
    """Every operation that answers in pages, by its path below /api/v1/."""
    return {
        path.removeprefix("/api/v1/"): operations["get"]
        for path, operations in document()["paths"].items()
        if any(each["name"] == "offset" for each in operations.get("get", {}).get("parameters", []))
    }


def parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in operation["parameters"] if each["in"] == "query"}


LISTS = lists()


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def ask(world: World) -> Any:
    client = api_client(world.person("admin"))
    keys = {"servers": world.server, "deployments": world.deployment, "devices": world.device}

    def get(path: str, **query: Any) -> Any:
        if "{id}" in path:
            path = path.replace("{id}", str(keys[path.split("/")[0]].pk))
        return client.get(f"/api/v1/{path}", query)

    return get


def test_all_lists_are_here() -> None:
    assert set(PAGES) <= set(LISTS)
    assert {"regions", "tokens", "templates", "node-tasks"} <= set(LISTS)


@pytest.mark.parametrize("path", LISTS)
def test_list_is_searched(ask: Any, path: str) -> None:
    assert ask(path).json()["count"] > 0
    assert ask(path, q=NOBODY_IS_CALLED).json()["count"] == 0


@pytest.mark.parametrize(
    "text", ["²", "127.0.0.1:²", "99999999999999", "%", "'", "a" * 200, "[::1]:25565", "::", "25565"]
)
@pytest.mark.parametrize("path", LISTS)
def test_no_search_is_an_error(ask: Any, path: str, text: str) -> None:
    assert ask(path, q=text).status_code == 200


@pytest.mark.parametrize("path", LISTS)
def test_search_that_the_database_cannot_hold_names_its_field(ask: Any, path: str) -> None:
    for text in ("a\x00b", "a" * 201):
        answer = ask(path, q=text)

        assert (answer.status_code, list(answer.json()["fields"])) == (400, ["q"])


@pytest.mark.parametrize("path", LISTS)
def test_list_is_ordered_by_what_the_document_says(ask: Any, path: str) -> None:
    names = parameters(LISTS[path])["ordering"]["description"].split(": ")[1].replace("`", "").split(", ")

    assert names
    for name in names:
        assert [ask(path, ordering=order).status_code for order in (name, f"-{name}")] == [200, 200], name


@pytest.mark.parametrize("wrong", ["nonsense", "-", "password", "name,,name"])
@pytest.mark.parametrize("path", LISTS)
def test_order_that_there_is_not_is_refused(ask: Any, path: str, wrong: str) -> None:
    answer = ask(path, ordering=wrong)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["ordering"])


@pytest.mark.parametrize("path", LISTS)
def test_list_comes_in_pages(ask: Any, path: str) -> None:
    first = ask(path, limit=1).json()

    assert len(first["results"]) == 1
    assert ask(path, offset=first["count"]).json()["results"] == []


@pytest.mark.parametrize("path", LISTS)
def test_fields_are_chosen_and_csv_has_them_too(ask: Any, path: str) -> None:
    row = ask(path, limit=1).json()["results"][0]
    name = next(iter(row))

    chosen = ask(path, fields=name).json()["results"]
    brief = ask(path, limit=1, brief=1).json()["results"][0]
    sheet = list(csv.reader(io.StringIO(ask(path, format="csv").content.decode())))
    empty = list(csv.reader(io.StringIO(ask(path, format="csv", q=NOBODY_IS_CALLED, fields=name).content.decode())))

    assert {tuple(each) for each in chosen} == {(name,)}
    assert 0 < len(brief) < len(row)
    assert brief.items() <= row.items()
    assert sheet[0] == list(row)
    assert len(sheet) == ask(path).json()["count"] + 1
    assert empty == [[name]]


@pytest.mark.parametrize("path", LISTS)
def test_csv_is_a_download(ask: Any, path: str) -> None:
    assert ask(path, format="csv")["Content-Disposition"].startswith('attachment; filename="')


@pytest.mark.parametrize("path", PAGES)
def test_api_finds_and_orders_what_the_page_does(path: str) -> None:
    spec, known = PAGES[path], parameters(LISTS[path])
    names = known["ordering"]["description"]

    assert {chip.name for chip in spec.chips} <= set(known)
    assert [column.order for column in spec.columns if column.order and f"`{column.order}`" not in names] == []


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        ("servers", "node", ["local", "other"]),
        ("servers", "status", ["queued", "running"]),
        ("users", "role", ["Admin", "Viewer"]),
        ("audit", "noun", ["server", "token"]),
        ("operations", "verb", ["create", "kill"]),
        ("addresses", "state", ["free", "leased"]),
    ],
)
def test_values_of_a_filter_add_up(ask: Any, path: str, name: str, values: list[str]) -> None:
    each = [ask(path, **{name: value}).json()["count"] for value in values]

    assert ask(path, **{name: values}).json()["count"] == sum(each) > 0


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("addresses", "ip", "here"),
        ("audit", "ip", "300.1.1.1"),
        ("addresses", "port", "x"),
        ("addresses", "holder", "7"),
        ("servers", "status", "tired"),
        ("operations", "since", "yesterday"),
        ("regions", "format", "xml"),
    ],
)
def test_filter_that_is_nonsense_names_its_field(ask: Any, path: str, name: str, value: str) -> None:
    answer = ask(path, **{name: value})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [name])


def test_no_row_is_on_two_pages(ask: Any) -> None:
    for number in range(7):
        Region.objects.create(slug=f"r{number}", name=f"R{number}", position=1)

    seen = [
        ask("regions", ordering="position", limit=1, offset=offset).json()["results"][0]["slug"] for offset in range(8)
    ]

    assert len(set(seen)) == 8


@pytest.mark.parametrize("path", LISTS)
def test_more_rows_cost_no_more_queries(ask: Any, world: World, path: str) -> None:
    def add() -> None:
        for _ in range(3):
            user = UserFactory()
            make_server(owner=user, node=world.node, template=world.template)
            AuditEntryFactory()

    assert_constant_queries(lambda: ask(path), add)
