"""A node's upkeep over HTTP: each role on each route, what pages show, and that no password is ever among it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.factories import UserFactory
from hub.engines.fake import FakeEngine
from hub.jobs import node_queue
from hub.nodes import drift, images, registries, sockets
from hub.nodes.models import Node, NodeTask
from hub.nodes.reconcile import reconcile
from hub.nodes.sweep import sweep
from hub.nodes.upkeep import DriftCard, limits_of
from hub.testing import api_client, run_jobs
from servers.models import GameServer

from .conftest import Games
from .factories import make_node, make_server
from .test_drift import orphan

pytestmark = pytest.mark.django_db

COLUMNS = ("Admin", "Operator", "Viewer", "Player", "nobody")
CREDENTIALS = {"registry": "ghcr.io", "username": "bot", "password": "hush-hush"}
BASE = "/api/v1/nodes/n1"
TABLE = [
    ("get", f"{BASE}/drift", None, (200, 200, 200, 403, 401)),
    ("post", f"{BASE}/drift/look", None, (202, 202, 202, 403, 401)),
    ("post", f"{BASE}/drift/remove", {"key": "{orphan}"}, (202, 403, 403, 403, 401)),
    ("post", f"{BASE}/drift/adopt", {"key": "{orphan}"}, (409, 409, 409, 403, 401)),
    ("post", f"{BASE}/drift/repair", {"key": "gone"}, (404, 404, 404, 403, 401)),
    ("post", f"{BASE}/drift/explode", {"key": "{orphan}"}, (404, 404, 404, 404, 404)),
    ("get", f"{BASE}/images", None, (200, 200, 200, 403, 401)),
    ("post", f"{BASE}/images/list", None, (202, 202, 202, 403, 401)),
    ("post", f"{BASE}/images/pull", {"image": "nginx"}, (202, 403, 403, 403, 401)),
    ("post", f"{BASE}/images/pull", {"image": "no good"}, (400, 403, 403, 403, 401)),
    ("post", f"{BASE}/images/remove", {}, (202, 403, 403, 403, 401)),
    ("post", f"{BASE}/images/remove", {"preview": True}, (200, 403, 403, 403, 401)),
    ("get", f"{BASE}/data", None, (200, 200, 200, 403, 401)),
    ("post", f"{BASE}/data/list", None, (202, 202, 202, 403, 401)),
    ("post", f"{BASE}/data/remove", {"names": [], "confirm": "n1"}, (400, 403, 403, 403, 401)),
    ("post", f"{BASE}/data/remove", {"names": [], "preview": True}, (200, 403, 403, 403, 401)),
    ("get", f"{BASE}/registries", None, (200, 200, 200, 403, 401)),
    ("put", f"{BASE}/registries", CREDENTIALS, (204, 403, 403, 403, 401)),
    ("put", f"{BASE}/registries", {"registry": "ghcr.io"}, (400, 403, 403, 403, 401)),
    ("delete", f"{BASE}/registries?registry=quay.io", None, (204, 403, 403, 403, 401)),
    ("delete", f"{BASE}/registries?registry=other.io", None, (404, 403, 403, 403, 401)),
    ("get", "/api/v1/node-tasks", None, (200, 200, 200, 403, 401)),
    ("post", "/api/v1/node-tasks", {}, (405, 405, 405, 405, 401)),
]
CASES = [
    (method, path, body, role, status)
    for method, path, body, statuses in TABLE
    for role, status in zip(COLUMNS, statuses, strict=True)
]


@pytest.fixture
def node(db: None) -> Node:
    return make_node(name="n1")


@pytest.fixture
def engine(node: Node, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A node with an orphan, an image that nobody needs and one registry; nobody listens anywhere."""
    FakeEngine.reset()
    monkeypatch.setattr(sockets, "listeners", lambda wanted=None: {})
    engine = FakeEngine(node=node.name, options={})
    engine.state.local_images["old:1"] = "sha256:old"
    yield engine
    FakeEngine.reset()


@pytest.fixture
def orphan_name(node: Node, engine: FakeEngine) -> str:
    name = orphan(engine)
    drift.look(node, engine)
    images.report(node, engine)
    registries.set_registry(
        node, actor=UserFactory(role="Admin"), registry="quay.io", username="bot", password=CREDENTIALS["password"]
    )
    return name


@pytest.mark.parametrize(("method", "path", "body", "role", "status"), CASES)
def test_each_role_gets_its_answer_on_each_route(
    method: str, path: str, body: Any, role: str, status: int, orphan_name: str
) -> None:
    if body and body.get("key") == "{orphan}":
        body = {"key": f"workload:{orphan_name}"}
    client = api_client(None if role == "nobody" else UserFactory(role=role))

    answer = getattr(client, method)(path, body)

    assert answer.status_code == status, answer.content


def test_an_orphan_is_removed_from_the_report_to_its_fate(
    orphan_name: str, node: Node, engine: FakeEngine, admin: User
) -> None:
    client = api_client(admin)
    shown = client.get(f"{BASE}/drift").json()
    key = shown["rows"][0]["key"]

    asked = client.post(f"{BASE}/drift/remove", {"key": key}).json()
    run_jobs(node_queue(node.name))

    task = client.get(f"/api/v1/node-tasks/{asked['id']}").json()
    assert (shown["problems"], shown["rows"][0]["finding"]) == (1, "orphan")
    assert (task["status"], task["actor"]) == ("done", "chief")
    assert client.get(f"{BASE}/drift").json()["rows"] == []


def test_no_answer_and_no_page_holds_a_registrys_password(orphan_name: str, admin: User, client: Client) -> None:
    api, password = api_client(admin), CREDENTIALS["password"]
    client.force_login(admin)

    texts = [
        api.get(BASE).content,
        api.get(f"{BASE}/registries").content,
        client.get("/nodes/n1/images").content,
        client.get("/nodes/n1/").content,
        client.post("/nodes/n1/registries", {**CREDENTIALS, "registry": "no good"}).content,
    ]

    assert [password.encode() in text for text in texts] == [False] * 5
    assert json.loads(texts[1]) == [{"registry": "quay.io", "username": "bot"}]


def test_page_shows_the_three_side_by_side_with_what_may_be_done(
    orphan_name: str, admin: User, viewer: User, client: Client
) -> None:
    client.force_login(admin)
    full = client.get("/nodes/n1/").content.decode()
    client.force_login(viewer)
    bare = client.get("/nodes/n1/").content.decode()

    assert orphan_name in full
    assert ">Remove</button>" in full
    assert orphan_name in bare
    assert ">Remove</button>" not in bare


def test_fragment_answers_304_until_something_changes(
    orphan_name: str, node: Node, engine: FakeEngine, admin: User, client: Client
) -> None:
    client.force_login(admin)
    headers = {"HX-Request": "true", "HX-Target": "node-drift"}
    first = client.get("/nodes/n1/drift", headers=headers)

    same = client.get("/nodes/n1/drift", headers={**headers, "If-None-Match": first["ETag"]})
    drift.look(node, engine)
    other = client.get("/nodes/n1/drift", headers={**headers, "If-None-Match": first["ETag"]})

    assert (first.status_code, same.status_code, other.status_code) == (200, 304, 200)


def test_button_works_with_and_without_scripts(orphan_name: str, admin: User, client: Client) -> None:
    client.force_login(admin)
    key = {"key": f"workload:{orphan_name}"}

    plain = client.post("/nodes/n1/drift/look")
    scripted = client.post("/nodes/n1/drift/remove", key, headers={"HX-Request": "true", "HX-Target": "node-drift"})

    assert plain.status_code == 302
    assert b'the agent is asked. <a href="/nodes/n1/#node-drift">Show</a>' in scripted.content
    assert set(NodeTask.objects.values_list("verb", flat=True)) == {"look", "remove"}


def test_stranger_does_not_learn_that_the_node_exists(orphan_name: str, stranger: User, client: Client) -> None:
    client.force_login(stranger)

    for path in ("drift", "images", "images/tasks", "data", "data/tasks"):
        assert client.get(f"/nodes/n1/{path}").status_code == 404


def test_removal_shows_first_what_would_go(orphan_name: str, admin: User, client: Client) -> None:
    client.force_login(admin)

    shown = client.get("/nodes/n1/images/remove?id=sha256:old").content.decode()
    before = NodeTask.objects.count()
    client.post("/nodes/n1/images/remove?id=sha256:old")

    assert "old:1, 10 MiB" in shown
    assert (before, NodeTask.objects.get().verb) == (0, "remove-images")


def test_images_page_shows_tasks_and_takes_credentials(
    orphan_name: str, node: Node, admin: User, client: Client
) -> None:
    client.force_login(admin)

    client.post("/nodes/n1/images/pull", {"image": "nginx:1"})
    stored = client.post("/nodes/n1/registries", CREDENTIALS)
    page = client.get("/nodes/n1/images").content.decode()
    piece = client.get("/nodes/n1/images/tasks", headers={"HX-Request": "true"}).content.decode()
    client.post("/nodes/n1/registries/forget?registry=ghcr.io")

    assert stored.status_code == 302
    assert 'Pull image nginx:1: the agent is asked. <a href="/nodes/n1/images#image-tasks">Show</a>' in page
    assert "ghcr.io" in page
    assert "Pull image nginx:1" in piece
    node.refresh_from_db()
    assert [one.registry for one in registries.registries_of(node)] == ["quay.io"]


def test_limits_are_those_of_the_very_node() -> None:
    node = make_node(name="n2", engine="process", agent_facts={"limits": {"memory": "enforced", "swap": "absent"}})

    kept = {limit.key: limit.kept for limit in limits_of(node)}

    assert kept["memory"] == "enforced"
    assert kept["swap"] == "absent"
    assert set(kept) == {"memory", "swap", "cpu", "pids", "disk", "files"}


def test_limits_stand_on_the_servers_page(node: Node, engine: FakeEngine, owner: User, client: Client) -> None:
    server = make_server(node=node, owner=owner)
    client.force_login(owner)

    page = client.get(server.get_absolute_url()).content.decode()

    assert "How limits are kept" in page
    assert "Enforced" in page


def test_history_tells_what_the_sweep_removed_and_adopted(
    node: Node, engine: FakeEngine, games: Games, admin: User
) -> None:
    server = make_server(node=node)
    for _ in range(2):
        reconcile(GameServer, server.pk, engine=engine)
    GameServer.objects.filter(pk=server.pk).update(observed_status="failed")
    orphan(engine)

    sweep(node, engine=engine)

    told = {entry.action for entry in DriftCard(node, admin).history}
    assert told == {"workload.orphan_removed", "workload.adopted"}
