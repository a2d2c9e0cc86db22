"""The API of servers and templates: shapes, rights, filters, answers to mistakes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory, token_for
from hub.engines.fake import FakeEngine
from hub.nodes.models import Node, Operation, Region
from hub.nodes.tests.factories import RegionFactory
from hub.testing import api_client, assert_constant_queries
from servers.models import GameServer, ServerLog, Template
from servers.tests.factories import GAME, TemplateFactory, VariableFactory, make_node, make_server
from servers.tests.machine import settle

pytestmark = pytest.mark.django_db
SERVERS = "/api/v1/servers"
TEMPLATES = "/api/v1/templates"


@pytest.fixture
def template() -> Template:
    template = TemplateFactory(slug="sample")
    VariableFactory(template=template, key="MOTD", default="hello")
    VariableFactory(template=template, key="HIDDEN", default="x", is_visible=False)
    VariableFactory(template=template, key="ADMIN_WORD", kind="secret")
    return template


@pytest.fixture
def client(owner: User) -> APIClient:
    return api_client(token_for(owner)[1])


def order(node: Node, **changes: Any) -> dict[str, Any]:
    region: Region = node.region
    asked = {"name": "My world", "template": "sample", "region": region.slug, "memory_mb": 1024, "disk_mb": 5000}
    return {**asked, **changes}


def secrets_of(server: GameServer) -> list[str]:
    server = GameServer.objects.get(pk=server.pk)
    sealed = (server.rcon_password, server.secret_values)
    return [secret.reveal() for secret in sealed if secret]


# --- Create -------------------------------------------------------------------------------------------------------


def test_create_answers_everything_but_secrets(client: APIClient, node: Node, template: Template) -> None:
    answer = client.post(SERVERS, order(node, values={"MOTD": "hi"}), format="json")

    body = answer.json()
    server = GameServer.objects.get()
    assert answer.status_code == 201
    assert answer["Location"] == f"{SERVERS}/{server.pk}"
    assert (body["status"], body["desired_status"]) == ("queued", "running")
    assert (body["address"], body["region"], body["node"]) == ("127.0.0.1:25565", node.region.slug, node.name)
    assert body["template"]["slug"] == "sample"
    assert body["values"] == {"MOTD": "hi"}
    assert body["actions"]["stop"] == ""
    assert not any(secret in answer.content.decode() for secret in secrets_of(server))


def test_create_takes_what_is_missing_from_template_and_profile(
    client: APIClient, owner: User, node: Node, template: Template
) -> None:
    owner.region_preference = node.region.slug
    owner.save(update_fields=["region_preference"])

    answer = client.post(SERVERS, {"name": "My world", "template": "sample"}, format="json")

    assert answer.status_code == 201
    assert answer.json()["memory_mb"] == template.default_memory_mb


def test_create_with_the_same_key_creates_once(client: APIClient, node: Node, template: Template) -> None:
    answers = [client.post(SERVERS, order(node), format="json", headers={"Idempotency-Key": "once"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert GameServer.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "status", "code", "field"),
    [
        ({"name": "x"}, 400, "invalid", "name"),
        ({"name": None}, 400, "invalid", "name"),
        ({"name": "<b>bold</b>"}, 400, "invalid", "name"),
        ({"template": "nope"}, 400, "invalid", "template"),
        ({"region": "nope"}, 400, "invalid", "region"),
        ({"region": ""}, 400, "invalid", "region"),
        ({"memory_mb": 100}, 400, "invalid", "memory_mb"),
        ({"memory_mb": "much"}, 400, "invalid", "memory_mb"),
        ({"disk_mb": 10**9}, 400, "invalid", "disk_mb"),
        ({"values": {"NOPE": 1}}, 400, "invalid", "values.NOPE"),
        ({"values": ["MOTD"]}, 400, "invalid", "values"),
        ({"values": {"MOTD": {"a": 1}}}, 400, "invalid", "values.MOTD"),
        ({"published_ports": ["nope"]}, 400, "invalid", "published_ports"),
        ({"owner": "nobody"}, 400, "invalid", "owner"),
        ({"memory_mb": 16384, "cpu_percent": 500}, 409, "quota_exceeded", "cpu_percent"),
    ],
)
def test_create_refuses_and_names_the_field(
    client: APIClient, node: Node, template: Template, wrong: dict[str, Any], status: int, code: str, field: str
) -> None:
    answer = client.post(SERVERS, order(node, **wrong), format="json")

    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert field in body["fields"]
    assert not GameServer.objects.exists()


def test_create_tells_when_to_come_back(client: APIClient, node: Node, template: Template, settings: Any) -> None:
    settings.HUB_CREATES_PER_HOUR = 1
    client.post(SERVERS, order(node), format="json")

    answer = client.post(SERVERS, order(node, name="Another"), format="json")

    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3600


def test_a_full_pool_answers_with_the_place(client: APIClient, owner: User, template: Template) -> None:
    node = make_node(size=1)
    make_server(owner=owner, node=node)

    body = client.post(SERVERS, order(node), format="json").json()

    assert (body["address"], body["status_reason"]) == (None, "Waiting for a free address, place 1.")


def test_an_admin_creates_for_another(admin: User, owner: User, node: Node, template: Template) -> None:
    body = api_client(admin).post(SERVERS, order(node, owner="owner"), format="json").json()

    assert body["owner"] == "owner"


def test_preview_reserves_nothing(client: APIClient, node: Node, template: Template) -> None:
    answer = client.post(f"{SERVERS}/preview", order(node), format="json")

    body = answer.json()
    assert answer.status_code == 200
    assert (body["address"], body["region"]) == ("127.0.0.1:25565", node.region.slug)
    assert body["quota_left"]["servers"] == 4
    assert body["problem"] is None
    assert not GameServer.objects.exists()


def test_preview_tells_the_problem(client: APIClient, node: Node, template: Template) -> None:
    body = client.post(f"{SERVERS}/preview", order(node, memory_mb=1), format="json").json()

    assert (body["problem"]["code"], body["problem"]["field"]) == ("invalid", "memory_mb")


# --- Read ---------------------------------------------------------------------------------------------------------


def test_list_shows_ones_own_without_secrets(client: APIClient, owner: User, stranger: User, node: Node) -> None:
    mine, other = make_server(owner=owner), make_server(owner=stranger)

    answer = client.get(SERVERS)

    body = answer.json()
    assert [row["id"] for row in body["results"]] == [str(mine.pk)]
    assert body["count"] == 1
    assert not any(secret in answer.content.decode() for secret in secrets_of(mine) + secrets_of(other))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("q=alp", ["alpha"]),
        ("q=25566", ["beta"]),
        ("status=running", ["beta"]),
        ("status=running&status=queued", ["alpha", "beta"]),
        ("status=stopped", []),
        ("template=other", ["beta"]),
        ("region=eu-central-1", ["alpha", "beta"]),
        ("region=nowhere", []),
        ("owner=OWNER", ["alpha", "beta"]),
        ("desired=running", ["alpha", "beta"]),
        ("ordering=-name", ["beta", "alpha"]),
        ("ordering=name&limit=1&offset=1", ["beta"]),
    ],
)
def test_list_filters_orders_and_pages(
    client: APIClient, owner: User, node: Node, query: str, names: list[str]
) -> None:
    make_server(owner=owner, name="alpha")
    beta = make_server(owner=owner, name="beta", template=TemplateFactory(slug="other"))
    GameServer.objects.filter(pk=beta.pk).update(observed_status="running")

    found = [row["name"] for row in client.get(f"{SERVERS}?{query}").json()["results"]]

    assert (found if "ordering" in query else sorted(found)) == names


def test_list_costs_a_constant_number_of_queries(client: APIClient, owner: User, node: Node) -> None:
    make_server(owner=owner)

    def add() -> None:
        for _ in range(3):
            make_server(owner=owner)

    assert_constant_queries(lambda: client.get(SERVERS), add)


def test_list_as_csv(client: APIClient, owner: User, node: Node) -> None:
    make_server(owner=owner, name="alpha")

    answer = client.get(f"{SERVERS}?format=csv")

    assert answer["Content-Type"].startswith("text/csv")
    assert "alpha" in answer.content.decode()


def test_deleted_servers_are_gone(client: APIClient, owner: User, node: Node) -> None:
    server = make_server(owner=owner)
    GameServer.objects.update(observed_status="deleted")

    assert client.get(SERVERS).json()["count"] == 0
    assert client.get(f"{SERVERS}/{server.pk}").status_code == 404


def test_detail_hides_what_is_not_for_owners(
    client: APIClient, owner: User, operator: User, node: Node, template: Template
) -> None:
    server = make_server(owner=owner, template=template)

    mine = client.get(f"{SERVERS}/{server.pk}").json()
    theirs = api_client(operator).get(f"{SERVERS}/{server.pk}").json()

    assert mine["values"] == {"MOTD": "hello"}
    assert theirs["values"] == {"MOTD": "hello", "HIDDEN": "x"}


@pytest.mark.parametrize("path", ["", "/operations", "/log"])
def test_strangers_and_made_up_ids_are_404(stranger: User, owner: User, node: Node, path: str) -> None:
    server = make_server(owner=owner)
    client = api_client(stranger)

    assert client.get(f"{SERVERS}/{server.pk}{path}").status_code == 404
    assert client.get(f"{SERVERS}/{uuid.uuid4()}{path}").status_code == 404
    assert client.get(f"{SERVERS}/not-an-id{path}").status_code == 404


def test_regional_operator_sees_his_regions(owner: User, node: Node) -> None:
    far = make_node(region=RegionFactory(slug="us-east-1"))
    make_server(owner=owner, node=node, name="near")
    make_server(owner=owner, node=far, name="far away")
    client = api_client(UserFactory(role="Operator", regions=["us-east-1"]))

    assert [row["name"] for row in client.get(SERVERS).json()["results"]] == ["far away"]


# --- Act ----------------------------------------------------------------------------------------------------------


def test_powers_answer_with_the_operation_to_follow(client: APIClient, owner: User, node: Node) -> None:
    server = make_server(owner=owner)

    first = client.post(f"{SERVERS}/{server.pk}/stop")
    second = client.post(f"{SERVERS}/{server.pk}/stop")

    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["operation"]["verb"] == "stop"
    assert first.json()["server"]["desired_status"] == "stopped"
    assert second.json()["operation"] is None
    assert client.get(f"{SERVERS}/{server.pk}/operations").json()["count"] == 2


def test_a_power_that_the_state_forbids_says_why(client: APIClient, owner: User, node: Node) -> None:
    server = make_server(owner=owner)
    GameServer.objects.update(desired_status="stopped", observed_status="stopped")

    answer = client.post(f"{SERVERS}/{server.pk}/restart")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_now")
    assert answer.json()["detail"] == "It is stopped; start it instead."


def test_patch_changes_name_limits_and_values_together_or_not_at_all(
    client: APIClient, owner: User, node: Node, template: Template
) -> None:
    server = make_server(owner=owner, template=template)
    url = f"{SERVERS}/{server.pk}"

    refused = client.patch(url, {"name": "Renamed", "values": {"NOPE": "x"}}, format="json")
    server.refresh_from_db()
    assert (refused.status_code, server.name) == (400, "server 0")

    done = client.patch(url, {"name": "Renamed", "memory_mb": 2048, "values": {"MOTD": "new"}}, format="json")
    assert done.status_code == 200
    assert (done.json()["name"], done.json()["memory_mb"], done.json()["values"]) == ("Renamed", 2048, {"MOTD": "new"})


@pytest.mark.parametrize("field", ["owner", "node", "address", "status", "generation", "observed_status", "template"])
def test_l57_what_is_fixed_cannot_be_patched(client: APIClient, owner: User, node: Node, field: str) -> None:
    server = make_server(owner=owner)
    before = client.get(f"{SERVERS}/{server.pk}").json()

    client.patch(f"{SERVERS}/{server.pk}", {field: "x"}, format="json")

    assert client.get(f"{SERVERS}/{server.pk}").json() == before


def test_credentials_are_shown_on_request_only_and_never_cached(client: APIClient, owner: User, node: Node) -> None:
    server = make_server(owner=owner)

    answer = client.post(f"{SERVERS}/{server.pk}/reveal-credentials")

    assert answer.json()["rcon_password"] in secrets_of(server)
    assert answer["Cache-Control"] == "no-store"
    assert client.get(f"{SERVERS}/{server.pk}/reveal-credentials").status_code == 405
    assert AuditEntry.objects.filter(action="server.credentials_revealed").count() == 1


def test_log_is_what_the_agent_brought(client: APIClient, owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    engine.write_log(server.engine_name, "hello")

    first = client.get(f"{SERVERS}/{server.pk}/log").json()
    settle(server, "running")
    second = client.get(f"{SERVERS}/{server.pk}/log").json()

    assert first == {"text": "", "captured_at": None}
    assert second["text"] == "hello\n"
    assert ServerLog.objects.get().wanted_until is not None


def test_ports_are_moved_published_and_withdrawn(client: APIClient, owner: User, node: Node) -> None:
    server = make_server(owner=owner)
    url = f"{SERVERS}/{server.pk}"

    published = client.post(f"{url}/publish-port", {"port_name": "rcon"}, format="json")
    withdrawn = client.post(f"{url}/unpublish-port", {"port_name": "rcon"}, format="json")
    hasty = client.post(f"{url}/move-port", {"port_name": "game"}, format="json")

    assert (published.status_code, withdrawn.status_code, hasty.status_code) == (202, 202, 429)
    assert len(published.json()["server"]["addresses"]) == 2


# method, path, what each may: owner, stranger, viewer, operator, nobody
RIGHTS = [
    ("get", "", 200, 404, 200, 200, 401),
    ("patch", "", 200, 404, 403, 200, 401),
    ("delete", "", 202, 404, 403, 202, 401),
    ("post", "/start", 200, 404, 403, 200, 401),
    ("post", "/stop", 202, 404, 403, 202, 401),
    ("post", "/restart", 202, 404, 403, 202, 401),
    ("post", "/kill", 202, 404, 403, 202, 401),
    ("post", "/reveal-credentials", 200, 404, 403, 200, 401),
    ("post", "/rotate-credentials", 200, 404, 403, 200, 401),
    ("post", "/suspend", 403, 403, 403, 202, 401),
    ("post", "/unsuspend", 403, 403, 403, 409, 401),
    ("get", "/operations", 200, 404, 200, 200, 401),
    ("get", "/log", 200, 404, 403, 200, 401),
]


@pytest.mark.parametrize(("method", "path", "mine", "strange", "seen", "staff", "nobody"), RIGHTS)
def test_table_of_rights(
    owner: User,
    stranger: User,
    viewer: User,
    operator: User,
    node: Node,
    method: str,
    path: str,
    mine: int,
    strange: int,
    seen: int,
    staff: int,
    nobody: int,
) -> None:
    people = {owner: mine, stranger: strange, viewer: seen, operator: staff, None: nobody}

    for person, expected in people.items():
        server = make_server(owner=owner, name=f"for {person or 'nobody'}", cpu_percent=10)
        body = {"reason": "x"} if path == "/suspend" else {}
        answer = getattr(api_client(person), method)(f"{SERVERS}/{server.pk}{path}", body or None, format="json")
        assert answer.status_code == expected, (person, answer.content)


def test_a_token_with_a_scope_does_only_that(owner: User, node: Node) -> None:
    server = make_server(owner=owner)
    client = api_client(token_for(owner, scopes=["read", "servers.control"])[1])

    assert client.get(f"{SERVERS}/{server.pk}").status_code == 200
    assert client.post(f"{SERVERS}/{server.pk}/stop").status_code == 202
    assert client.post(f"{SERVERS}/{server.pk}/reveal-credentials").status_code == 403
    assert client.delete(f"{SERVERS}/{server.pk}").status_code == 403


def test_what_was_asked_is_seen_with_its_fate(client: APIClient, owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")

    rows = client.get(f"{SERVERS}/{server.pk}/operations").json()["results"]

    assert [(row["verb"], row["status"], row["actor"]) for row in rows] == [("create", "done", "owner")]
    assert Operation.objects.get().seconds is not None


# --- Templates ----------------------------------------------------------------------------------------------------


def test_the_catalogue_is_public_and_shows_what_is_offered(template: Template) -> None:
    TemplateFactory(is_published=False)

    body = api_client().get(TEMPLATES).json()

    assert [row["slug"] for row in body["results"]] == ["sample"]
    row = body["results"][0]
    assert row["engines"] == ["docker", "kubernetes", "process"]
    assert row["limits"]["memory_mb"] == {"min": 1024, "default": 2048, "max": 16384}
    assert [variable["key"] for variable in row["variables"]] == ["MOTD", "ADMIN_WORD"]
    assert not {"env", "image", "process_command"} & row.keys()


def test_catalogue_costs_a_constant_number_of_queries(template: Template) -> None:
    def add() -> None:
        for _ in range(3):
            VariableFactory(template=TemplateFactory())

    assert_constant_queries(lambda: api_client().get(TEMPLATES), add)


def test_definitions_are_for_those_who_write_them(owner: User, operator: User, template: Template) -> None:
    url = f"{TEMPLATES}/sample/definition"

    assert api_client(owner).get(url).status_code == 403
    assert api_client(operator).get(url).json()["image"] == "kutanga/sample"


def test_templates_are_made_changed_and_removed(operator: User, owner: User) -> None:
    client = api_client(operator)
    made = {"slug": "mine", "name": "Mine", "game": "Game", "image": "example/game", "ports": [GAME]}

    created = client.post(TEMPLATES, {**made, "variables": [{"key": "MOTD", "label": "M"}]}, format="json")
    changed = client.patch(f"{TEMPLATES}/mine", {"name": "Ours"}, format="json")
    refused = api_client(owner).patch(f"{TEMPLATES}/mine", {"name": "Theirs"}, format="json")
    removed = client.delete(f"{TEMPLATES}/mine")

    assert created.status_code == 201, created.content
    assert (changed.status_code, changed.json()["name"]) == (200, "Ours")
    assert [variable["key"] for variable in changed.json()["variables"]] == ["MOTD"]
    assert refused.status_code == 403
    assert removed.status_code == 204


def test_wrong_templates_name_the_field(operator: User) -> None:
    made = {"slug": "mine", "name": "Mine", "game": "Game", "image": "example/game", "ports": [GAME]}

    answer = api_client(operator).post(TEMPLATES, {**made, "env": {"X": "{{NOPE}}"}}, format="json")

    assert answer.status_code == 400
    assert "env" in answer.json()["fields"]
    assert not Template.objects.exists()


def test_the_schema_describes_every_path(client: APIClient) -> None:
    paths = client.get("/api/v1/schema").json()["paths"]

    for path in ("", "/preview", "/{id}", "/{id}/start", "/{id}/move-port", "/{id}/reveal-credentials", "/{id}/log"):
        assert f"{SERVERS}{path}" in paths
    assert f"{TEMPLATES}/{{slug}}" in paths
