"""Who may use which route: every route of the API and of the pages, as each role, against `permissions.txt`.

A new route fails here until it has its lines. To write the table anew after a change that is meant, and then to read
its diff with care: `HUB_WRITE_PERMISSIONS=1 make test ARGS="hub/tests/test_permission_table.py"`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from accounts.services import PURGE_PHRASE
from accounts.tests.factories import PASSWORD
from devices.api.device_serializers import KEY as DEVICE_KEY
from devices.sessions import GRANT
from devices.tests.deployment_helpers import signed_camera
from hub.api.schema import rendered_document

from .cluster.server import kubeconfig
from .world import BUNDLE_ID, ROLES, World, make_world

pytestmark = pytest.mark.django_db

TABLE = Path(__file__).parent / "permissions.txt"
LOGIN = "/accounts/login/"
LEFT_OUT = {
    "api/": "these are the operations of the document",
    "admin/": "Django's own; what each model permits stands in docs/admin.md",
    "accounts/": "allauth's own; see accounts/tests",
    "jobs/": "django-rq's own; test_dashboard_of_jobs_is_the_admins below",
    "__debug__/": "only there in debug mode",
}
OPEN = {"GET api/v1/schema", "GET api/v1/docs"}  # not in the document, because they are it

OPEN_DOORS = OPEN | {
    "GET api/v1/templates",
    "GET api/v1/templates/{slug}",
    "POST api/v1/devices/nonce",
    "GET health",
    "GET health/live",
    "GET health/ready",
    "GET metrics",  # to loopback; others need the token
    "GET invite/<str:secret>",  # leads to the registration, or back when there is no such invitation
    "POST invite/<str:secret>",
}

REASON = {"reason": "Flags were shared."}
NIGHT = {
    "name": "Second night",
    "description": "Eight hours of puzzles.",
    "starts_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    "ends_at": (datetime.now(UTC) + timedelta(days=2)).isoformat(),
}
POOL = {"node": "local", "name": "more", "first_ip": "127.0.0.1", "first_port": 28000, "last_port": 28003}
SERVER = {"name": "another", "template": "sample", "region": "eu-central-1", "memory_mb": 1024, "disk_mb": 5000}
BODIES: dict[str, dict[str, Any]] = {
    "POST api/v1/address-pools": POOL,
    "PATCH api/v1/address-pools/{id}": {"is_enabled": False},
    "POST api/v1/addresses/{id}/block": {"reason": "A printer has it."},
    "POST api/v1/addresses/bulk": {"verb": "unblock", "ids": [1]},
    "POST api/v1/alert-mutes": {"reason": "New kernel", "ends_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
    "POST api/v1/alert-rules": {"name": "Full disk", "condition": "hub-disk", "threshold": 95},
    "PATCH api/v1/alert-rules/{slug}": {"threshold": 97},
    "POST api/v1/alerts/{id}/assign": {"assignee": "operator"},
    "POST api/v1/alerts/{id}/mute": {"minutes": 60},
    "POST api/v1/announcements": {"event": "night-of-flags", "title": "Tea", "message": "In the hall."},
    "POST api/v1/auth/delete": {"password": PASSWORD},
    "POST api/v1/auth/login": {"username": "nobody here", "password": "wrong"},
    "POST api/v1/auth/logout": {"refresh": "none"},
    "POST api/v1/auth/refresh": {"refresh": "none"},
    "POST api/v1/auth/register": {"username": "ada", "email": "ada@example.org", "password": "correct horse battery"},
    "POST api/v1/challenges": {"name": "Open door", "description": "It is open.", "flags": [{"content": "flag{open}"}]},
    "PATCH api/v1/challenges/{slug}": {"points": 200},
    "POST api/v1/challenges/{slug}/state": {"state": "test"},
    "POST api/v1/challenges/{slug}/test-copy": {"team": 7007},
    "POST api/v1/event-challenges": {"event": "night-of-flags", "challenge": "leaky-shop"},
    "PATCH api/v1/event-challenges/{id}": {"visibility": "hidden"},
    "POST api/v1/event-challenges/{id}/submit": {"answer": "flag{wrong}"},
    "POST api/v1/event-challenges/{id}/hint": {"hint": 7007},
    "POST api/v1/events": NIGHT,
    "PATCH api/v1/events/{slug}": {"submissions_per_minute": 5},
    "POST api/v1/events/{slug}/administrator": {"username": None},
    "PUT api/v1/events/{slug}/organisers": {"usernames": []},
    "POST api/v1/events/{slug}/award": {"team": 7007, "points": 5, **REASON},
    "POST api/v1/events/{slug}/ban-team": {"team": 7007, **REASON},
    "POST api/v1/events/{slug}/unban-team": {"team": 7007},
    "POST api/v1/events/{slug}/cancel": REASON,
    "POST api/v1/events/{slug}/reject": REASON,
    "POST api/v1/events/{slug}/reset-password": {"username": "owner", "password": "correct horse battery"},
    "POST api/v1/instances": {"event": "night-of-flags", "challenge": "leaky-shop"},
    "POST api/v1/instances/bulk": {"verb": "stop", "ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]},
    "POST api/v1/instances/deploy": {"event": "night-of-flags", "challenge": "leaky-shop"},
    "POST api/v1/instances/kill-all": {"event": "night-of-flags", "phrase": "kill night-of-flags"},
    "PUT api/v1/nodes/{name}/kubeconfig": {"kubeconfig": kubeconfig("https://cluster.example.org:6443")},
    "POST api/v1/teams": {"name": "Foxes"},
    "PATCH api/v1/teams/{id}": {"description": "We fly at night."},
    "POST api/v1/teams/join": {"code": "K7QX4M"},
    "POST api/v1/teams/{id}/ban": REASON,
    "POST api/v1/teams/{id}/kick": {"username": "owner"},
    "POST api/v1/teams/{id}/hand-over": {"username": "owner"},
    "POST api/v1/teams/{id}/move": {"username": "stranger"},
    "POST api/v1/channels": {"name": "mail", "kind": "email", "target": "ada@example.org"},
    "PATCH api/v1/channels/{id}": {"least_severity": "info"},
    "POST api/v1/devices": {"name": "Roof", "public_key": DEVICE_KEY},
    "PATCH api/v1/devices/{id}": {"name": "Roof"},
    "POST api/v1/devices/bulk": {"verb": "accept", "ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]},
    "POST api/v1/device-commands": {"ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"], "name": "diagnose"},
    "POST api/v1/devices/register": {"public_key": DEVICE_KEY},
    "POST api/v1/devices/token": {"grant_type": GRANT, "assertion": "none"},
    "POST api/v1/bundles": {"size_bytes": 10, "signature": signed_camera("2.0")},
    "PATCH api/v1/bundles/{id}": {"description": "For cameras"},
    "POST api/v1/bundles/{id}/piece": {"offset": 0, "content": "AAAA"},
    "POST api/v1/bundles/{id}/invalidate": {"reason": "It bricks cameras."},
    "POST api/v1/publisher-keys": {"name": "other", "public_key": DEVICE_KEY},
    "POST api/v1/deployments": {"bundle_version": "1.0", "all": True},
    "POST api/v1/deployments/preview": {"bundle_version": "1.0", "all": True},
    "POST api/v1/devices/rollback": {"all": True},
    "POST api/v1/devices/rollback/preview": {"all": True},
    "POST api/v1/device-groups/{slug}/config/rollback": {"version": 1},
    "POST api/v1/deployments/{id}/force-quit": {"device": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"},
    "POST api/v1/devices/{id}/config/rollback": {"version": 1},
    "POST api/v1/device-groups": {"slug": "more", "name": "More"},
    "PATCH api/v1/device-groups/{slug}": {"priority": 3},
    "POST api/v1/device-groups/{slug}/members": {"add": []},
    "POST api/v1/enrolment-tokens": {
        "name": "more",
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    },
    "POST api/v1/nodes": {"name": "second", "region": "eu-central-1", "engine": "fake"},
    "PATCH api/v1/nodes/{name}": {"is_draining": True},
    "POST api/v1/nodes/{name}/drift/{verb}": {"key": "server:1"},
    "POST api/v1/nodes/{name}/images/pull": {"image": "alpine:3"},
    "POST api/v1/nodes/{name}/images/remove": {"preview": True},
    "POST api/v1/nodes/{name}/data/remove": {"names": [], "preview": True},
    "PUT api/v1/nodes/{name}/registries": {"registry": "ghcr.io", "username": "u", "password": "p"},
    "POST api/v1/metrics/sample": {"node": "local"},
    "POST api/v1/metrics/samples": {"subject": "node:local", "samples": [{"load": 1}]},
    "POST api/v1/regions": {"slug": "moon", "name": "Moon"},
    "PATCH api/v1/regions/{slug}": {"name": "Frankfurt"},
    "POST api/v1/servers": SERVER,
    "POST api/v1/servers/preview": SERVER,
    "POST api/v1/servers/bulk": {"verb": "stop", "ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]},
    "PATCH api/v1/servers/{id}": {"name": "creative"},
    "POST api/v1/servers/{id}/command": {"text": "list"},
    "POST api/v1/servers/{id}/move-port": {"port_name": "game"},
    "POST api/v1/servers/{id}/publish-port": {"port_name": "rcon"},
    "POST api/v1/servers/{id}/unpublish-port": {"port_name": "rcon"},
    "POST api/v1/servers/{id}/suspend": {"reason": "It mines coins."},
    "POST api/v1/templates": {
        "slug": "luanti",
        "name": "Luanti",
        "game": "Luanti",
        "image": "luanti:5",
        "ports": [{"name": "game", "target_port": 30000}],
    },
    "PATCH api/v1/templates/{slug}": {"description": "Better."},
    "POST api/v1/tokens": {"name": "another"},
    "PATCH api/v1/tokens/{id}": {"is_enabled": False},
    "POST api/v1/users": {"username": "ada", "password": "correct horse battery"},
    "PATCH api/v1/users/{id}": {"first_name": "Ada"},
    "POST api/v1/users/{id}/password": {"password": "correct horse battery"},
    "POST api/v1/users/{id}/quota": {"servers": 7},
    "POST api/v1/users/{id}/regions": {"regions": []},
    "POST api/v1/users/{id}/role": {"role": "Viewer"},
    "POST api/v1/users/{id}/suspend": {"reason": "Spam"},
    "POST api/v1/users/purge": {"phrase": PURGE_PHRASE},
    "PATCH api/v1/users/me": {"first_name": "Ada"},
}
QUERIES = {
    "DELETE api/v1/nodes/{name}/registries": "?registry=ghcr.io",
    "GET api/v1/metrics/query": "?subject=node:local&metric=load",
    "GET api/v1/metrics/series": "?subject=node:local",
    "GET api/v1/devices/{id}/why-not": f"?bundle={BUNDLE_ID}",
    "GET monitoring/charts": "?subject=node:local",
    "GET monitoring/table": "?subject=node:local",
}


def api_routes() -> Iterator[str]:
    for path, methods in json.loads(rendered_document("json"))["paths"].items():
        for method in methods:
            yield f"{method.upper()} {path.lstrip('/')}"


def page_routes() -> Iterator[str]:
    """Each page by both methods: what does not take one says 405."""

    def walk(resolver: Any, prefix: str = "") -> Iterator[str]:
        for pattern in resolver.url_patterns:
            route = prefix + str(pattern.pattern)
            if not route.startswith(tuple(LEFT_OUT)):
                if isinstance(pattern, URLResolver):
                    yield from walk(pattern, route)
                else:
                    yield route or "/"

    for route in dict.fromkeys(walk(get_resolver())):
        yield f"GET {route}"
        yield f"POST {route}"


def all_routes() -> list[str]:
    return sorted({*api_routes(), *page_routes(), *OPEN}, key=lambda each: (each.split(" ", 1)[1], each))


def read_table() -> dict[str, list[str]]:
    """Each route with the answers to the roles, in their order."""
    rows = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            words = line.split()
            rows[" ".join(words[: -len(ROLES)])] = words[-len(ROLES) :]
    return rows


def write_table(rows: dict[str, list[str]]) -> None:
    width = max(map(len, rows)) + 2
    head = "# Written by test_permission_table.py, read by people: what each role is answered on each route.\n"
    head += "# `login`: sent to the login page. `owner` and `stranger` are Players; the objects are the owner's.\n#\n"
    head += "# route".ljust(width) + "".join(f"{role:<10}" for role in ROLES).rstrip() + "\n"
    lines = [name.ljust(width) + "".join(f"{each:<10}" for each in answers).rstrip() for name, answers in rows.items()]
    TABLE.write_text(head + "\n".join(lines) + "\n")


class Visitor:
    """Asks every route as every role and takes back what that stores."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = Client(raise_request_exception=False)
        self.cookies = {role: self._log_in(role) for role in ROLES}

    def _log_in(self, role: str) -> str:
        client = Client()
        if self.world.people[role] is not None:
            client.force_login(self.world.person(role))
        return client.cookies.output(header="", sep=";")

    def answers(self, route: str) -> list[str]:
        return [self._ask(route, role) for role in ROLES]

    def _ask(self, route: str, role: str) -> str:
        method, path = route.split(" ", 1)
        form = "application/json" if path.startswith("api/") else "application/x-www-form-urlencoded"
        body: Any = json.dumps(BODIES.get(route, {})) if path.startswith("api/") else ""
        self.client.cookies = SimpleCookie(self.cookies[role])
        cache.clear()  # of those who failed to log in
        with transaction.atomic():
            url = f"/{self._filled(path).lstrip('/')}{QUERIES.get(route, '')}"
            answer = self.client.generic(method, url, body if method != "GET" else "", content_type=form)
            transaction.set_rollback(True)
        return (
            "login" if answer.status_code == 302 and answer["Location"].startswith(LOGIN) else str(answer.status_code)
        )

    def _filled(self, path: str) -> str:
        """The path with the keys of what the owner has, or of what there is."""
        world = self.world
        noun = path.removeprefix("api/v1/").split("/")[0]
        keys: dict[str, Any] = {
            "servers": world.server.pk,
            "templates": world.template.slug,
            "regions": world.node.region.slug,
            "nodes": world.cluster.name if path.endswith(("/kubeconfig", "/examination")) else world.node.name,
            "address-pools": world.pool.pk,
            "pools": world.pool.pk,
            "addresses": world.address.pk,
            "operations": world.operation.pk,
            "users": world.person("owner").pk,
            "tokens": world.token.pk,
            "audit": world.audit_entry.pk,
            "invites": world.invite.pk,
            "requests": world.request_entry.pk,
            "sessions": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11",
            "failed-jobs": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11",
            "node-tasks": world.task.pk,
            "errors": world.error.pk,
            "monitoring": world.error.pk,
            "alerts": world.alert.pk,
            "alert-rules": world.rule.slug if path.startswith("api/") else world.rule.pk,
            "alert-mutes": world.mute.pk,
            "mutes": world.mute.pk,
            "channels": world.delivery.channel_id,
            "deliveries": world.delivery.pk,
            "announcements": world.announcement.pk,
            "challenges": world.entry.challenge.slug,
            "event-challenges": world.entry.pk,
            "events": world.entry.event.slug,
            "instances": world.instance.pk,
            "submissions": world.submission.pk,
            "teams": world.team.pk,
            "views": 1,
            "queues": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11",
            "invite": "nothing",
            "devices": world.device.pk,
            "device-groups": world.device_group.slug,
            "bundles": world.bundle.pk,
            "publisher-keys": world.publisher.pk,
            "deployments": world.deployment.pk,
            "enrolment-tokens": world.enrolment_token.pk,
            "logs": world.device_log.pk,
            "device-commands": world.device_command.pk,
        }
        for name in (
            "{id}",
            "{deployment}",
            "{name}",
            "{slug}",
            "<uuid:pk>",
            "<int:pk>",
            "<slug:name>",
            "<slug:slug>",
            "<str:secret>",
        ):
            path = path.replace(name, str(keys.get(noun, "")))
        others = {
            "<slug:challenge>": "leaky-shop",
            "<uuid:file>": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11",
            "<uuid:run>": str(world.deploy_run.pk),
            "{run}": str(world.deploy_run.pk),
            "{file}": "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11",
            "<uuid:command>": str(world.device_command.pk),
            "{command}": str(world.device_command.pk),
            "<int:hint>": "7007",
            "<int:team>": "7007",
            "<int:entry>": str(world.entry.pk),
            "<int:user>": str(world.person("owner").pk),
            "<int:target>": str(world.deployment.targets.values_list("pk", flat=True)[0]),
        }
        for name, key in others.items():
            path = path.replace(name, key)
        verb = "verify" if noun == "users" else "adopt"
        return path.replace("{verb}", verb).replace("<slug:verb>", verb).replace("<slug:port_name>", "rcon")


@pytest.fixture
def visitor(settings: Any) -> Visitor:
    settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, 0)
    return Visitor(make_world())


def test_every_route_has_its_line() -> None:
    """Add the missing ones, remove those that are gone; see the top of this module."""
    routes, table = set(all_routes()), set(read_table())

    assert {"missing": sorted(routes - table), "gone": sorted(table - routes)} == {"missing": [], "gone": []}


@pytest.mark.slow
def test_each_role_is_answered_as_the_table_says(visitor: Visitor) -> None:
    seen = {route: visitor.answers(route) for route in all_routes()}
    if os.environ.get("HUB_WRITE_PERMISSIONS") == "1":
        write_table(seen)

    table = read_table()
    assert {route: answers for route, answers in seen.items() if table.get(route) != answers} == {}


def test_inputs_are_such_that_who_may_gets_further() -> None:
    """A 400 would hide whether one may."""
    assert [route for route, answers in read_table().items() if "400" in answers or "500" in answers] == []


def test_nobody_reaches_anything_but_the_open_doors() -> None:
    refused = {"401", "login", "403", "404", "405"}

    assert {route for route, answers in read_table().items() if answers[-1] not in refused} == OPEN_DOORS


def test_what_is_the_owners_does_not_exist_for_a_stranger() -> None:
    """Whatever the owner reaches by a key of his, a stranger of the same role is told that it is not there."""
    own = ("instances/", "servers/", "teams/", "tokens/", "operations/", "users/", "views/")
    for route, answers in read_table().items():
        path = route.split(" ", 1)[1].removeprefix("api/v1/")
        if path.startswith(own) and ("{id}" in path or "pk>" in path):
            owner, stranger = answers[ROLES.index("owner")], answers[ROLES.index("stranger")]
            assert stranger == "404" or stranger == owner in ("403", "405"), route


def test_dashboard_of_jobs_is_the_admins(visitor: Visitor) -> None:
    assert visitor.answers("GET jobs/") == ["200", "403", "403", "403", "403", "login"]
