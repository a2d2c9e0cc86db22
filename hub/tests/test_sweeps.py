"""Three sweeps over every operation of the OpenAPI document, so that a new route is swept as soon as it is there.

Mass assignment: a field that an operation does not take changes nothing when it is sent. Scopes: `scopes.txt` says
which scopes of a token open which route. Strangers: the key of somebody else's thing, in a body or a query, is answered
as one that nothing has.

To write `scopes.txt` anew after a change that is meant, and then to read its diff with care:
`HUB_WRITE_SCOPES=1 make test ARGS="hub/tests/test_sweeps.py -m '' -k scope"`. A new noun of verbs changes no other row.
Bodies and keys in paths come from `test_permission_table.py`, of things in bodies from `keys_of()` below.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache as kept
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connection, models, transaction
from django.test import Client

from accounts.api.serializers import ProfileSerializer
from accounts.models import User
from accounts.scopes import NOUNS, READ
from accounts.tests.factories import token_for, token_header
from hub.api.schema import rendered_document

from .test_permission_table import BODIES, QUERIES, Visitor, api_routes, read_table
from .world import ROLES, World, make_world

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SCOPES = Path(__file__).parent / "scopes.txt"
ROOT = Path(__file__).parents[2]
APPS = [each.label for each in apps.get_app_configs() if (ROOT / each.name.partition(".")[0]).is_dir()]  # ours
NOTHING = {"uuid": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11", "name": "nothing-is-called-this", "number": 987654}
CLOSED = {"401", "403", "404"}
VOLATILE = re.compile(r'"(request_id|id|created_at|at|now|from|to)":\s*"?[^",}]*"?')
LOOKS = {  # have a node looked at again, which changes nothing
    "POST api/v1/nodes/{name}/data/list",
    "POST api/v1/nodes/{name}/drift/look",
    "POST api/v1/nodes/{name}/images/list",
}
WITHOUT_SCOPE = {
    "GET api/v1/templates",
    "GET api/v1/templates/{slug}",
    "GET api/v1/auth/me",
    "POST api/v1/devices/nonce",
}
NOT_FOR_TOKENS = {"POST api/v1/auth/delete": "403"}
ANEW = """HUB_WRITE_SCOPES=1 make test ARGS="hub/tests/test_sweeps.py -m '' -k scope\""""
EVERY = "*"  # in the table: whatever the scopes
UNOPENED = {  # no scope alone gets into these
    "DELETE api/v1/failed-jobs/{id}": "no job failed",
    "POST api/v1/failed-jobs/{id}/retry": "likewise",
    "DELETE api/v1/sessions/{id}": "nobody is logged in",
    "DELETE api/v1/nodes/{name}/kubeconfig": "none is stored",
    "DELETE api/v1/nodes/{name}/registries": "none is stored",
    "POST api/v1/auth/delete": "not for tokens",
    "POST api/v1/auth/login": "the password is wrong",
    "POST api/v1/auth/logout": "the refresh token is wrong",
    "POST api/v1/auth/refresh": "the refresh token is wrong",
    "POST api/v1/auth/register": "closed",
    "GET api/v1/devices/self": "a device proves itself by its key",
    "POST api/v1/devices/register": "a device proves itself by its key",
    "POST api/v1/devices/token": "a device proves itself by its key",
    "GET api/v1/deployments/{deployment}/work": "a device proves itself by its key",
    "POST api/v1/deployments/{deployment}/result": "a device proves itself by its key",
    "POST api/v1/devices/{id}/config/applied": "a device proves itself by its key",
    "POST api/v1/devices/{id}/commands/{command}": "a device proves itself by its key",
    "POST api/v1/devices/{id}/sealing-key": "a device proves itself by its key",
    "POST api/v1/devices/{id}/heartbeat": "a device proves itself by its key",
    "POST api/v1/devices/{id}/key": "a device proves itself by its key",
    "POST api/v1/devices/{id}/logs/batch": "a device proves itself by its key",
    "POST api/v1/logs/batch": "a device proves itself by its key",
    "GET api/v1/events/{slug}/score": "the Admin plays in no team",
    "POST api/v1/event-challenges/{id}/hint": "likewise",
    "POST api/v1/event-challenges/{id}/submit": "likewise",
    "GET api/v1/event-challenges/{id}/files/{file}": "likewise",
    "POST api/v1/events/{slug}/withdraw": "likewise",
    "POST api/v1/teams/{id}/leave": "likewise",
    "DELETE api/v1/challenges/{slug}/files/{file}": "there is no file",
    "POST api/v1/metrics/sample": "measures what one must be able to see",
    "POST api/v1/metrics/samples": "measures what one must be able to see",
    "POST api/v1/nodes/{name}/drift/{verb}": "nothing has drifted",
    "POST api/v1/templates/{slug}/try": "makes a server",
    "POST api/v1/tokens": "a token makes none that may more",
    "POST api/v1/tokens/{id}/rotate": "nor goes on as one that may more",
    "POST api/v1/users/{id}/quota": "quotas of people",
    "POST api/v1/users/{id}/regions": "regions of people",
    "POST api/v1/users/{id}/role": "roles of people",
}
PUBLIC = {"event", "metric", "region", "regions", "role", "roles", "template"}  # what these name is everybody's to see
OTHER_THINGS = {"owner", "username", "subject", "key", "workload", "rule", "mute"}  # besides the nouns of verbs
# A trial is called after the second it was made in, and audit data tell times to the second.
CLOCK = re.compile(r"trial sample \d{6}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
Snapshot = dict[tuple[str, str], Counter[str]]


@pytest.fixture
def visitor(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    monkeypatch.setattr("accounts.tests.factories._HASH", [])  # else other tests get the quick one, and it is refused
    settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, 0)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]  # quick
    return Visitor(make_world())


def document() -> dict[str, Any]:
    return _parsed(rendered_document("json"))


@kept
def _parsed(text: bytes | str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference, of the first of several."""
    while "$ref" in schema or "allOf" in schema or "oneOf" in schema:
        if "$ref" in schema:
            schema = document_schemas()[schema["$ref"].rsplit("/", 1)[1]]
        else:
            schema = (schema.get("allOf") or schema["oneOf"])[0]
    return schema


@kept
def document_schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = document()["components"]["schemas"]
    return schemas


def inputs(route: str) -> dict[str, Any]:
    """The properties of an operation's body."""
    method, path = route.split(" ", 1)
    content = document()["paths"][f"/{path}"][method.lower()].get("requestBody", {}).get("content", {})
    schema = resolved(next(iter(content.values()))["schema"]) if content else {}
    properties: dict[str, Any] = schema.get("properties", {})
    return properties


def strangers_to(route: str, *, high: bool) -> dict[str, Any]:
    """Every field that some answer shows or some table has and this operation does not take, with a value to store."""
    fields: dict[str, Any] = {}
    for schema in document_schemas().values():
        for name, shape in schema.get("properties", {}).items():
            fields[name] = _value(resolved(shape).get("type", "string"), resolved(shape), high)
    for label in APPS:
        for model in apps.get_app_config(label).get_models():
            for field in model._meta.concrete_fields:
                fields[field.name] = fields[field.attname] = _value_for(field, high)
    taken = set(inputs(route))
    return {name: value for name, value in fields.items() if name not in taken}


def _value(kind: str | list[str], shape: dict[str, Any], high: bool) -> Any:
    if isinstance(kind, list):  # or null
        kind = kind[0]
    if shape.get("enum"):
        return shape["enum"][-1 if high else 0]
    if shape.get("format") == "date-time":
        return "2099-01-01T00:00:00Z" if high else None
    values = {"boolean": high, "integer": 77 if high else 1, "number": 77.5 if high else 0.5}
    return values.get(kind, ["swept"] if kind == "array" else {"swept": 1} if kind == "object" else "swept")


def _value_for(field: models.Field[Any, Any], high: bool) -> Any:
    if field.choices:
        return [key for key, _ in field.flatchoices][-1 if high else 0]
    if isinstance(field, models.BooleanField):
        return high
    if isinstance(field, models.DateTimeField):
        return "2099-01-01T00:00:00Z" if high else None
    if isinstance(field, models.IntegerField | models.FloatField | models.ForeignKey):
        return 77 if high else 1
    return "swept"


def snapshot() -> Snapshot:
    """What each column of our tables holds, without order; times only as far as one could have been sent."""
    with connection.cursor() as cursor:
        cursor.execute(_digests())
        return {column: values for label, digest in cursor for column, values in _columns(label, digest).items()}


@kept
def _digests() -> str:
    """One statement that asks for a digest of what each of our tables holds."""
    models = [model for label in APPS for model in apps.get_app_config(label).get_models() if model._meta.managed]
    return " UNION ALL ".join(
        f"SELECT '{model._meta.label}', md5(string_agg(t::text, '' ORDER BY t::text)) FROM \"{model._meta.db_table}\" t"  # noqa: S608
        for model in models
    )


@kept
def _columns(label: str, digest: str | None) -> Snapshot:
    """What the columns of a table hold now; what has the same digest has been read before."""
    model = apps.get_model(label)
    names = [field.attname for field in model._meta.concrete_fields if not field.primary_key]
    rows = list(model._default_manager.values_list(*names))
    return {(label, name): Counter(_normal(row[number]) for row in rows) for number, name in enumerate(names)}


def _normal(value: Any) -> str:
    if isinstance(value, datetime):
        return "sent" if value.year == 2099 else "a time"
    return CLOCK.sub("…", repr(value))


class Sweeper:
    """Sends bodies to a route, sees what they store, and takes that back."""

    def __init__(self, visitor: Visitor, role: str) -> None:
        self.visitor, self.role = visitor, role
        self.client = Client(
            raise_request_exception=False, headers=token_header(token_for(visitor.world.person(role))[1])
        )

    def send(self, route: str, body: Any) -> tuple[int, Snapshot]:
        method, path = route.split(" ", 1)
        url = f"/{self.visitor._filled(path)}{QUERIES.get(route, '')}"
        cache.clear()
        with transaction.atomic():
            answer = self.client.generic(method, url, json.dumps(body), content_type="application/json")
            seen = snapshot()
            transaction.set_rollback(True)
        return answer.status_code, seen

    def answer(self, route: str) -> str:
        method, path = route.split(" ", 1)
        return str(self._ask(method, path, QUERIES.get(route, ""), BODIES.get(route, {})).status_code)

    def told(self, route: str, place: str, name: str, value: Any) -> tuple[int, str]:
        """Status and text of the answer when an input has this value, without the value itself."""
        method, path = route.split(" ", 1)
        body = {**BODIES.get(route, {}), **({name: value} if place == "body" else {})}
        given = dict(parse_qsl(QUERIES.get(route, "").lstrip("?")))
        query = f"?{urlencode({**given, name: value} if place == 'query' else given, doseq=True)}"
        answer = self._ask(method, path, query, body)
        text = answer.content.decode()
        for each in value if isinstance(value, list) else [value]:
            text = text.replace(str(each), "…") if "-" in str(each) else text  # a name may be a field's too
        return answer.status_code, VOLATILE.sub("…", text)

    def _ask(self, method: str, path: str, query: str, body: Any) -> Any:
        cache.clear()
        with transaction.atomic():
            text = "" if method == "GET" else json.dumps(body)
            url = f"/{self.visitor._filled(path)}{query}"
            answer = self.client.generic(method, url, text, content_type="application/json")
            transaction.set_rollback(True)
        return answer

    def assigned(self, route: str) -> Iterator[str]:
        """What fields that the operation does not take did change all the same."""
        body = BODIES.get(route, {})
        status, first = self.send(route, body)
        _, second = self.send(route, body)
        steady = {name for name in first if first[name] == second[name]}
        for high in (True, False):
            extra = strangers_to(route, high=high)
            got, seen = self.send(route, {**extra, **body})
            if got == status:
                yield from _differences(route, "all", steady, first, seen)
                continue
            for name, value in extra.items():  # refused together: then each by itself
                got, seen = self.send(route, {name: value, **body})
                if got >= 500:
                    yield f"{route}: {name} is a {got}"
                elif got < 400:
                    yield from _differences(route, name, steady, first, seen)


def _differences(route: str, sent: str, steady: set[tuple[str, str]], first: Snapshot, seen: Snapshot) -> Iterator[str]:
    for column in sorted(steady):
        if first[column] != seen[column]:
            yield f"{route}: {sent} changed {'.'.join(column)}: {first[column]} to {seen[column]}"


def writing_routes() -> list[str]:
    return [route for route in sorted(api_routes()) if not route.startswith("GET ")]


@pytest.mark.parametrize("role", ["admin", "owner"])
def test_no_field_is_stored_that_an_operation_does_not_take(visitor: Visitor, role: str) -> None:
    sweeper = Sweeper(visitor, role)

    found = [each for route in writing_routes() for each in sweeper.assigned(route)]

    assert not found, "\n".join(found)


def test_mass_assignment_would_be_seen(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep finds a profile that takes a flag which the document does not name."""

    def careless(user: User, *, actor: Any, **values: Any) -> User:
        User.objects.filter(pk=user.pk).update(**values)
        return user

    rendered_document("json")  # as it was before
    monkeypatch.setattr(ProfileSerializer.Meta, "fields", (*ProfileSerializer.Meta.fields, "is_superuser"))
    monkeypatch.setattr("accounts.services.update_profile", careless)

    found = list(Sweeper(visitor, "owner").assigned("PATCH api/v1/users/me"))

    assert [each for each in found if "is_superuser" in each]


def opened(visitor: Visitor, scopes: list[str]) -> dict[str, bool]:
    """Which routes let an Admin's token of these scopes through."""
    client = Client(
        raise_request_exception=False,
        headers=token_header(token_for(visitor.world.person("admin"), name="sweep", scopes=scopes)[1]),
    )
    found = {}
    for route in sorted(api_routes()):
        method, path = route.split(" ", 1)
        body = json.dumps(BODIES.get(route, {})) if method != "GET" else ""
        cache.clear()
        with transaction.atomic():
            url = f"/{visitor._filled(path)}{QUERIES.get(route, '')}"
            answer = client.generic(method, url, body, content_type="application/json")
            transaction.set_rollback(True)
        found[route] = str(answer.status_code) not in CLOSED
    return found


def read_scopes() -> dict[str, list[str]]:
    lines = [line.split() for line in SCOPES.read_text().splitlines() if line and not line.startswith("#")]
    return {f"{method} {path}": scopes for method, path, *scopes in lines}


def write_scopes(rows: dict[str, list[str]]) -> None:
    width = max(map(len, rows)) + 2
    head = "# Written by test_sweeps.py, read by people: which scopes of an Admin's token open each route.\n#\n"
    lines = [f"{route.ljust(width)}{' '.join(scopes)}".rstrip() for route, scopes in rows.items()]
    SCOPES.write_text(head + "\n".join(lines) + "\n")


def test_each_scope_opens_what_its_table_says_and_nothing_else(visitor: Visitor) -> None:
    scopes = [READ, *(f"{noun}.*" for noun in sorted(NOUNS))]
    opening = {scope: opened(visitor, [scope]) for scope in scopes}
    seen = {route: [scope for scope in scopes if opening[scope][route]] for route in sorted(api_routes())}
    seen = {route: [EVERY] if opens == scopes else opens for route, opens in seen.items()}
    if os.environ.get("HUB_WRITE_SCOPES") == "1":
        write_scopes(seen)

    table = read_scopes()
    wrong = [
        f"{route}: {scopes}, not {table.get(route)}" for route, scopes in seen.items() if table.get(route) != scopes
    ]
    assert not wrong, "\n".join([f"Mend the rights, or have scopes.txt written anew: {ANEW}", *wrong])


def test_every_route_has_its_scopes() -> None:
    routes, table = set(api_routes()), set(read_scopes())

    missing = [f"{route} has no row" for route in sorted(routes - table)]
    gone = [f"{route} has a row and is no route" for route in sorted(table - routes)]
    assert not missing + gone, "\n".join([f"Have scopes.txt written anew and read its diff: {ANEW}", *missing, *gone])


def test_every_route_is_opened_by_some_scope_or_it_is_known_why_not() -> None:
    """One that is not may lack its body or its key: then nothing was swept."""
    closed = {route for route, scopes in read_scopes().items() if not scopes}

    unknown = sorted(closed - set(UNOPENED))
    told = "Each needs its body in BODIES and its key in Visitor._filled (test_permission_table.py), or why in UNOPENED"
    assert not unknown, f"{told}: {unknown}"
    assert not set(UNOPENED) - closed, f"Take out of UNOPENED what a scope opens: {sorted(set(UNOPENED) - closed)}"


def test_looking_changes_nothing() -> None:
    """A token that may only read is let through by no route that changes something."""
    found = {route for route, scopes in read_scopes().items() if READ in scopes and not route.startswith("GET ")}

    assert found == LOOKS, (
        f"A verb that only looks is named in LOOKS; any other needs a verb of its own: {found ^ LOOKS}"
    )


def test_no_route_is_open_to_scopes_of_other_nouns() -> None:
    """Many scopes open only what is open to everybody, and oneself."""
    everywhere = {route for route, scopes in read_scopes().items() if scopes == [EVERY] or len(scopes) > 3}

    told = f"What is open to everybody is named in WITHOUT_SCOPE: {everywhere ^ WITHOUT_SCOPE}"
    assert everywhere == WITHOUT_SCOPE, told


@pytest.mark.parametrize("role", [role for role in ROLES if role != "nobody"])
def test_a_token_may_what_its_owner_may(visitor: Visitor, role: str) -> None:
    """Without scopes neither more nor less, over all routes."""
    table = read_table()
    column = ROLES.index(role)
    sweeper = Sweeper(visitor, role)

    seen = {route: sweeper.answer(route) for route in sorted(api_routes())}

    expected = {route: NOT_FOR_TOKENS.get(route, table[route][column]) for route in seen}
    assert {route: (seen[route], expected[route]) for route in seen if seen[route] != expected[route]} == {}


def keys_of(world: World) -> dict[str, tuple[Any, Any]]:
    """What an input of this name may hold: something of the owner's or the hub's, and what nothing has."""
    alert, channel = world.alert.pk, world.delivery.channel_id
    return {
        "alert": (alert, NOTHING["number"]),
        "alerts": ([alert], [NOTHING["number"]]),
        "channel": (channel, NOTHING["number"]),
        "channels": ([channel], [NOTHING["number"]]),
        "mute": (world.mute.pk, NOTHING["number"]),
        "rule": (world.alert.rule.slug, NOTHING["name"]),
        "rules": ([world.alert.rule.slug], [NOTHING["name"]]),
        "ids": ([str(world.server.pk)], [NOTHING["uuid"]]),
        "server": (str(world.server.pk), NOTHING["uuid"]),
        "subject": (f"server:{world.server.pk}", f"server:{NOTHING['uuid']}"),
        "key": (f"server:{world.server.pk}", f"server:{NOTHING['uuid']}"),
        "holder": (str(world.server.pk), NOTHING["uuid"]),
        "pool": (world.pool.pk, NOTHING["number"]),
        "actor_id": (str(world.person("owner").pk), str(NOTHING["number"])),
        "target_id": (str(world.server.pk), NOTHING["uuid"]),
        "request_id": (world.audit_entry.request_id or "-", NOTHING["name"]),
        "workload_id": (str(world.server.pk), NOTHING["uuid"]),
        "workload": (str(world.server.pk), NOTHING["uuid"]),
        "user": ("owner", NOTHING["name"]),
        "owner": ("owner", NOTHING["name"]),
        "username": ("owner", NOTHING["name"]),
        "usernames": (["owner"], [NOTHING["name"]]),
        "node": (world.node.name, NOTHING["name"]),
        "device": (str(world.device.pk), NOTHING["uuid"]),
        "add": ([str(world.device.pk)], [NOTHING["uuid"]]),
        "bundle": (str(world.bundle.pk), NOTHING["uuid"]),
        "devices": ([str(world.device.pk)], [NOTHING["uuid"]]),
        "target_devices": ([str(world.device.pk)], [NOTHING["uuid"]]),
        "target_device_ids": ([str(world.device.pk)], [NOTHING["uuid"]]),
        "remove": ([str(world.device.pk)], [NOTHING["uuid"]]),
        "team": (world.team.pk, NOTHING["number"]),
        "challenge": (world.entry.challenge.slug, NOTHING["name"]),
    }


def places(document_: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each input that names a thing: the route, body or query, and its name."""
    for path, operations in document_["paths"].items():
        for method, operation in operations.items():
            route = f"{method.upper()} {path.lstrip('/')}"
            for name, shape in inputs(route).items():
                if _names_a_thing(name, resolved(shape)):
                    yield route, "body", name
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query" and _names_a_thing(parameter["name"], resolved(parameter["schema"])):
                    yield route, "query", parameter["name"]


def _names_a_thing(name: str, shape: dict[str, Any]) -> bool:
    formats = {shape.get("format"), shape.get("items", {}).get("format")}
    nouns = {noun.removesuffix("s") for noun in NOUNS} | OTHER_THINGS
    is_several = shape.get("type") == "array" and name.removesuffix("s") in nouns
    return "uuid" in formats or name in nouns or is_several or name.endswith(("_id", "_ids")) or name in ("id", "ids")


def test_a_stranger_learns_nothing_from_keys_in_bodies_and_queries(visitor: Visitor) -> None:
    known = keys_of(visitor.world)
    sweeper = Sweeper(visitor, "stranger")
    found = []
    for route, place, name in places(document()):
        if name in PUBLIC:
            continue
        real, nothing = known.get(name, (None, None))
        if real is None:
            found.append(f"{route}: say in keys_of() what {name} may hold")
            continue
        answers = [sweeper.told(route, place, name, value) for value in (real, nothing)]
        if answers[0] != answers[1]:
            found.append(f"{route}: {name} in the {place} tells {answers[0]} from {answers[1]}")

    assert not found, "\n".join(found)
