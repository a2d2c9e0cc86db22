"""Secrets planted everywhere are found in the clear nowhere but where they were asked for, or are needed to run."""

from __future__ import annotations

import http.client
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory, token_for
from hub.engines.fake import FakeEngine
from hub.jobs import node_queue, rq_queue
from hub.models import IdempotentAnswer
from hub.nodes.models import Node, Operation
from hub.nodes.sweep import sweep, tick
from hub.testing import empty_queues, wait_until
from servers import services, variables
from servers.models import GameServer, Template

from .canaries import (
    Canaries,
    arguments_of_all,
    database_dump,
    environments,
    files_below,
    hub_keys,
    redis_dump,
)
from .conftest import Games
from .factories import TemplateFactory, VariableFactory, make_node
from .faults import House, free_range, open_house
from .outages import Programs

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "Canary-of-the-admin-4711"
VARIABLE = "CanaryOfTheVariable42"
NODE_PASSWORD = "canary-of-the-node-0815"
# A careless program: it prints what it was given.
PRINTS_SECRETS = [
    "sh",
    "-c",
    'echo "rcon is $RCON_PASSWORD and the secret is $JOIN_PASSWORD"; exec "$0" "$1"',
    "{{PYTHON}}",
    "{{SAMPLE_SERVER}}",
]


@pytest.fixture
def canaries() -> Canaries:
    canaries = Canaries()
    for what, key in hub_keys().items():
        canaries.plant(what, key)
    return canaries


def add_secret_variable(template: Template) -> None:
    VariableFactory(template=template, key="JOIN_PASSWORD", kind="secret")


def plant_account(canaries: Canaries, user: User) -> str:
    """A password and an API token; answers the token."""
    user.set_password(canaries.plant("password", PASSWORD))
    user.save(update_fields=["password"])
    return canaries.plant("API token", token_for(user)[1])


def plant_node(canaries: Canaries, node: Node) -> None:
    node.credentials = json.dumps({"password": canaries.plant("node credentials", NODE_PASSWORD)})
    node.save(update_fields=["credentials"])


def plant_server(canaries: Canaries, server: GameServer) -> None:
    server = GameServer.objects.get(pk=server.pk)
    canaries.plant("RCON password", server.rcon_password.reveal())
    canaries.plant("secret variable", variables.of_server(server).secret["JOIN_PASSWORD"])


# --- While everything runs ----------------------------------------------------------------------------------------


@pytest.fixture
def house() -> Iterator[House]:
    empty_queues()
    with open_house(process_command=PRINTS_SECRETS) as house:
        add_secret_variable(house.template)
        yield house


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.end()


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    client = http.client.HTTPConnection("localhost", port, timeout=120)
    try:
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        kind = "application/x-www-form-urlencoded" if isinstance(body, str) else "application/json"
        client.request(method, path, text, {"Content-Type": kind, **headers})
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def create_over_http(port: int, token: str, house: House) -> GameServer:
    body = {
        "name": "arena",
        "template": house.template.slug,
        "region": house.node.region.slug,
        "memory_mb": 1024,
        "disk_mb": 5000,
        "values": {"JOIN_PASSWORD": VARIABLE},
    }
    headers = {"Authorization": f"Token {token}", "Idempotency-Key": "canary"}
    status, text = ask(port, "POST", "/api/v1/servers", body, **headers)
    assert status == 201, text
    return GameServer.objects.get(pk=json.loads(text)["id"])


def go_wrong_with_secrets(port: int, token: str, server: GameServer) -> None:
    """Requests that fail, in ways that tempt one to log them whole."""
    broken = {"Authorization": f"Token {token}"}
    ask(port, "POST", "/api/v1/servers", {"name": PASSWORD * 9, "values": {"JOIN_PASSWORD": VARIABLE}}, **broken)
    ask(port, "PATCH", f"/api/v1/servers/{server.pk}", {"values": {"JOIN_PASSWORD": VARIABLE + "!"}}, **broken)
    ask(port, "POST", "/accounts/login/", f"login=chief&password={PASSWORD}")
    ask(port, "POST", "/api/v1/auth/login", {"username": "nobody", "password": PASSWORD})


@pytest.mark.slow
@pytest.mark.chaos
def test_no_secret_in_database_redis_logs_arguments_environments_or_files(
    house: House, programs: Programs, canaries: Canaries
) -> None:
    token = plant_account(canaries, house.owner)
    plant_node(canaries, house.node)
    port = free_range(1)
    programs.web(port, HUB_LOG_LEVEL="DEBUG")
    server = create_over_http(port, token, house)
    plant_server(canaries, server)
    redis = rq_queue(node_queue(house.node.name)).connection
    queued = redis_dump(redis)

    programs.agent(house.node, HUB_LOG_LEVEL="DEBUG")
    wait_until(house.is_settled, pause=0.1, what="the launch")
    go_wrong_with_secrets(port, token, server)
    status, revealed = ask(
        port, "POST", f"/api/v1/servers/{server.pk}/reveal-credentials", Authorization=f"Token {token}"
    )
    workloads, shims = environments(of_workloads=True), environments(of_workloads=False)
    arguments = arguments_of_all()
    services.restart_server(server, actor=house.owner)
    wait_until(house.is_settled, pause=0.1, what="the restart")
    services.stop_server(server, actor=house.owner)
    wait_until(house.is_settled, pause=0.1, what="the stop")
    programs.end()
    dump, logs = database_dump(), programs.logs()

    server.refresh_from_db()
    mine = [text for text in workloads.values() if server.engine_name in text]
    assert {
        place: found
        for place, text in {
            "database": dump,
            "queued jobs": queued,
            "Redis": redis_dump(redis),
            "logs": logs,
            "arguments": arguments,
            "environment of shims": "\n".join(shims.values()),
            "environment of other workloads": "\n".join(text for text in workloads.values() if text not in mine),
            "files of the engine": files_below(house.root),
        }.items()
        if (found := canaries.found_in(text))
    } == {}
    # What must be there is: else the search would have proved nothing.
    assert status == 200
    assert {"RCON password", "secret variable"} <= set(canaries.found_in(revealed))
    assert [canaries.found_in(text) for text in mine] == [["RCON password", "secret variable"]]
    assert "rcon is *** and the secret is ***" in server.stored_log.text
    assert "rcon is *** and the secret is ***" in dump
    assert house.owner.username in dump
    assert "hub.jobs.perform" in queued
    assert "/api/v1/servers 201" in logs
    assert server.engine_name in arguments


# --- All faces ----------------------------------------------------------------------------------------------------


@pytest.fixture
def world(canaries: Canaries, games: Games) -> Iterator[dict[str, Any]]:
    """One of everything, with its secrets."""
    FakeEngine.reset()
    empty_queues()
    node, template = make_node(), TemplateFactory()
    add_secret_variable(template)
    owner, chief = UserFactory(username="owner"), UserFactory(username="chief", role="Admin")
    token = plant_account(canaries, owner)
    plant_node(canaries, node)
    server = services.create_server(
        actor=owner,
        name="arena",
        template=template,
        region=node.region,
        memory_mb=1024,
        disk_mb=5000,
        values={"JOIN_PASSWORD": VARIABLE},
    )
    plant_server(canaries, server)
    services.reveal_credentials(server, actor=owner)
    FakeEngine(node=node.name, options={}).behave(_prints(canaries))
    for _ in range(3):
        tick(node)
        sweep(node)
    services.read_log(server, actor=owner)
    tick(node)
    yield {"server": server, "node": node, "template": template, "owner": owner, "chief": chief, "token": token}
    FakeEngine.reset()


def _prints(canaries: Canaries) -> Any:
    from hub.engines.fake import Behaviour

    return Behaviour(
        output=tuple(f"careless: {canaries.secrets[what]}" for what in ("RCON password", "secret variable"))
    )


def addresses(world: dict[str, Any]) -> set[str]:
    """Every address that can be looked at: the routes of the project, filled with what there is, and the admin's."""
    known = {
        "pk": [str(world["server"].pk), *(str(number) for number in (1, *_ids()))],
        "name": [world["node"].name],
        "slug": [world["template"].slug],
        "port_name": ["rcon"],
        "format": ["json"],
        "id": [str(world["server"].pk)],
    }
    found = {path for route in routes(get_resolver().url_patterns) for path in filled(route, known)}
    for model, model_admin in admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        found |= {base, *(f"{base}{row.pk}/change/" for row in rows(model, model_admin))}
    lists = {path for path in found if path.startswith("/api/v1/")}
    return found | {f"{path}?format=csv" for path in lists}


def _ids() -> set[int]:
    from accounts.models import ApiToken
    from hub.nodes.models import Address, AddressPool

    models: tuple[type[Model], ...] = (User, ApiToken, AuditEntry, AddressPool, Address)
    return {
        int(pk) for model in models for pk in model._default_manager.order_by("pk").values_list("pk", flat=True)[:2]
    }


def rows(model: type[Model], model_admin: Any) -> list[Model]:
    return list(model._default_manager.all()[:3])


def routes(patterns: list[Any], prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        text = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if not text.startswith("/admin/"):
                yield from routes(pattern.url_patterns, text)
        elif isinstance(pattern, URLPattern):
            yield text


def filled(route: str, known: dict[str, list[str]]) -> list[str]:
    """The route with every known value in the places of its parameters; nothing when one is unknown."""
    route = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"<\1>", route)
    route = (
        re.sub(r"<\w+:(\w+)>", r"<\1>", route).replace("^", "").replace("$", "").replace("\\Z", "").replace("\\.", ".")
    )
    paths = [re.sub(r"/\?$", "", route)]
    for name in re.findall(r"<(\w+)>", route):
        paths = [path.replace(f"<{name}>", value) for path in paths for value in known.get(name, [])]
    return [path for path in paths if not set(path) & set("()[]?*+|<>")]


def look(client: Client, path: str) -> tuple[int, str]:
    answer = client.get(path)
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer.status_code, body.decode(errors="replace") + str(dict(answer.headers))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["owner", "chief"])
def test_no_secret_in_any_page_or_answer(
    world: dict[str, Any], canaries: Canaries, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    client.force_login(world[who])
    caplog.set_level(logging.DEBUG)

    seen = {path: look(client, path) for path in sorted(addresses(world)) if "logout" not in path}

    shown = {path: found for path, (_, text) in seen.items() if (found := canaries.found_in(text))}
    good = {path for path, (status, _) in seen.items() if status == 200}
    assert shown == {}
    assert {
        path: status for path, (status, _) in seen.items() if status >= 500 and not path.startswith("/health")
    } == {}
    assert canaries.found_in(caplog.text) == []
    assert {"/servers/", f"/servers/{world['server'].pk}", "/api/v1/servers", "/api/v1/operations"} <= good
    assert f"/api/v1/servers/{world['server'].pk}/log" in good
    assert (f"/admin/servers/gameserver/{world['server'].pk}/change/" in good) == (who == "chief")
    assert len(good) > 25


def test_answers_to_changes_hold_no_secret_but_the_one_asked_for(world: dict[str, Any], canaries: Canaries) -> None:
    client = Client(headers={"Authorization": f"Token {world['token']}", "Idempotency-Key": "k"})
    base = f"/api/v1/servers/{world['server'].pk}"
    asked = [
        client.patch(base, {"values": {"JOIN_PASSWORD": VARIABLE}}, content_type="application/json"),
        client.patch(base, {"values": {"JOIN_PASSWORD": "short"}}, content_type="application/json"),
        *(client.post(f"{base}/{verb}") for verb in ("restart", "stop", "start", "kill", "rotate-credentials")),
        client.post(f"{base}/publish-port", {"port_name": "rcon"}, content_type="application/json"),
    ]

    found = [canaries.found_in(answer.content.decode()) for answer in asked]
    revealed = client.post(f"{base}/reveal-credentials").content.decode()

    assert found == [[]] * len(asked)
    # A value that was set stays; the passwords have been made new.
    server = GameServer.objects.get(pk=world["server"].pk)
    assert server.rcon_password.reveal() in revealed
    assert "RCON password" not in canaries.found_in(revealed)


def test_audit_operations_and_kept_answers_hold_no_secret(world: dict[str, Any], canaries: Canaries) -> None:
    client = Client(headers={"Authorization": f"Token {world['token']}", "Idempotency-Key": "kept"})
    body = {
        "name": "second",
        "template": world["template"].slug,
        "region": world["node"].region.slug,
        "memory_mb": 1024,
        "disk_mb": 5000,
        "values": {"JOIN_PASSWORD": VARIABLE},
    }
    assert client.post("/api/v1/servers", body, content_type="application/json").status_code == 201

    stored = [str(row) for model in (AuditEntry, Operation, IdempotentAnswer) for row in model.objects.values()]

    assert len(stored) > 3
    assert canaries.found_in("\n".join(stored)) == []
