"""PACSTAR's production suite (seed P103, 8 steps) and its suite of challenges (P104, 9 steps), asked of this hub.

The engine is the fake one; the same life on a real Docker Engine is in test_instances_docker.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from accounts.tests.factories import PASSWORD, UserFactory
from challenges import services
from challenges.models import Challenge, Instance
from hub.engines.fake import FakeEngine
from hub.testing import api_client

from .arena import Arena, make_arena

pytestmark = pytest.mark.django_db

API = "/api/v1"
BODY = {
    "name": "Nginx vault",
    "description": "Find what the server hides.",
    "kind": "container",
    "category": "web",
    "points": 100,
    "flags": [{"name": "flag", "kind": "team", "content": "crypto-TRI{flag_placeholder}", "plant_env": "FLAG"}],
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    cache.clear()
    FakeEngine.reset()
    yield
    FakeEngine.reset()


@pytest.fixture
def admin() -> APIClient:
    return api_client(UserFactory(role="Admin", username="master"))


def body(*ports: int) -> dict[str, Any]:
    named = [{"name": f"port-{number}", "number": number, "protocol": "http"} for number in ports]
    container = {
        "name": "web", "image": "nginx:latest", "env": {"SECRET_KEY": "s"}, "memory_mb": 512, "cpu_percent": 50,
        "health_kind": "none", "health_path": "/", "ports": named,
    }  # fmt: skip
    return {**BODY, "containers": [container]}


def offer(admin: APIClient, arena: Arena, *ports: int) -> str:
    """Make a challenge, publish it and offer it in the event; answers its slug."""
    made = admin.post(f"{API}/challenges", body(*ports))
    assert made.status_code == 201, made.content
    slug = made.json()["slug"]
    for state in ("test", "published"):
        assert admin.post(f"{API}/challenges/{slug}/state", {"state": state}).status_code == 200
    offered = admin.post(f"{API}/event-challenges", {"event": arena.event.slug, "challenge": slug})
    assert offered.status_code == 201, offered.content
    return str(slug)


def deploy(admin: APIClient, arena: Arena, slug: str) -> list[dict[str, Any]]:
    """Launch it for all teams and let the agent work; answers the instances."""
    asked = admin.post(f"{API}/instances/deploy", {"event": arena.event.slug, "challenge": slug})
    services.carry_out_deploy(asked.json()["id"])
    assert [row["status"] for row in admin.get(asked["Location"]).json()["results"]] == [202] * len(arena.teams)
    arena.work()
    rows: list[dict[str, Any]] = admin.get(f"{API}/instances").json()["results"]
    return rows


def ips_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["connections"][0]["ip"] for row in rows]


# --- P103 ---------------------------------------------------------------------------------------------------------


def test_p103_1_authentication(admin: APIClient) -> None:
    asked = {"username": "master", "password": PASSWORD}
    token = APIClient().post(f"{API}/auth/login", asked, format="json").json()["access"]
    bearer = APIClient()
    bearer.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")

    assert bearer.get(f"{API}/challenges").status_code == 200
    assert APIClient().get(f"{API}/challenges").status_code == 401


def test_p103_2_health() -> None:
    assert APIClient().get("/health").status_code == 200


def test_p103_3_create_for_two_teams(admin: APIClient) -> None:
    arena = make_arena(teams=2)

    slug = offer(admin, arena, 80)

    assert Challenge.objects.get(slug=slug).state == "published"
    assert arena.event.participations.count() == 2


def test_p103_4_deploy_and_all_addresses_are_distinct(admin: APIClient) -> None:
    arena = make_arena(teams=2)

    rows = deploy(admin, arena, offer(admin, arena, 80))

    assert [row["status"] for row in rows] == ["running", "running"]
    assert len(set(ips_of(rows))) == 2


def test_p103_5_statistics(admin: APIClient) -> None:
    arena = make_arena(teams=2)
    deploy(admin, arena, offer(admin, arena, 80))

    running = admin.get(f"{API}/instances?status=running").json()["count"]
    failed = admin.get(f"{API}/instances?status=failed").json()["count"]
    books = admin.get(f"{API}/instances/ledger").json()[0]

    assert (running, failed, books["leased"]) == (2, 0, 2)


def test_p103_6_list(admin: APIClient) -> None:
    arena = make_arena(teams=2)
    slug = offer(admin, arena, 80)

    assert [row["slug"] for row in admin.get(f"{API}/challenges").json()["results"]] == [slug]


def test_p103_7_stop(admin: APIClient) -> None:
    arena = make_arena(teams=2)
    rows = deploy(admin, arena, offer(admin, arena, 80))

    asked = {"verb": "stop", "ids": [row["id"] for row in rows]}
    results = admin.post(f"{API}/instances/bulk", asked).json()
    arena.work()

    assert [row["error"] for row in results] == [None, None]
    assert set(Instance.objects.values_list("observed_status", flat=True)) == {"deleted"}


def test_p103_8_nothing_of_it_remains(admin: APIClient) -> None:
    arena = make_arena(teams=2)
    rows = deploy(admin, arena, offer(admin, arena, 80))
    assert len(arena.engine.list_owned()) == 2

    admin.post(f"{API}/instances/bulk", {"verb": "stop", "ids": [row["id"] for row in rows]})
    arena.work()

    assert arena.engine.list_owned() == []
    assert admin.get(f"{API}/instances/ledger").json()[0]["leased"] == 0


# --- P104 ---------------------------------------------------------------------------------------------------------


def test_p104_1_create_for_three_teams_with_ports_80_and_443(admin: APIClient) -> None:
    made = admin.post(f"{API}/challenges", body(80, 443))

    assert made.status_code == 201
    assert [port["number"] for port in made.json()["containers"][0]["ports"]] == [80, 443]


def test_p104_2_list(admin: APIClient) -> None:
    admin.post(f"{API}/challenges", body(80, 443))

    found = admin.get(f"{API}/challenges?q=vault").json()

    assert (found["count"], found["results"][0]["name"]) == (1, "Nginx vault")


def test_p104_3_get(admin: APIClient) -> None:
    slug = admin.post(f"{API}/challenges", body(80, 443)).json()["slug"]

    shown = admin.get(f"{API}/challenges/{slug}")

    assert (shown.json()["points"], shown.json()["state"]) == (100, "draft")
    assert "crypto-TRI" not in shown.content.decode()


def test_p104_4_deploy_and_all_addresses_are_distinct(admin: APIClient) -> None:
    arena = make_arena(teams=3)

    rows = deploy(admin, arena, offer(admin, arena, 80, 443))

    assert len(set(ips_of(rows))) == 3
    assert {tuple(line["port"] for line in row["connections"]) for row in rows} == {(80, 443)}
    assert all(row["connections"][0]["ip"] == row["connections"][1]["ip"] for row in rows)


def test_p104_5_statistics(admin: APIClient) -> None:
    arena = make_arena(teams=3)
    deploy(admin, arena, offer(admin, arena, 80, 443))

    assert admin.get(f"{API}/instances?status=running").json()["count"] == 3
    assert admin.get(f"{API}/instances/ledger").json()[0]["leased"] == 3


def test_p104_6_update(admin: APIClient) -> None:
    slug = admin.post(f"{API}/challenges", body(80, 443)).json()["slug"]

    changed = admin.patch(f"{API}/challenges/{slug}", {"description": "Look again at the server.", "points": 250})

    assert changed.status_code == 200
    assert (changed.json()["points"], changed.json()["description"]) == (250, "Look again at the server.")


def test_p104_7_stop(admin: APIClient) -> None:
    arena = make_arena(teams=3)
    deploy(admin, arena, offer(admin, arena, 80, 443))

    phrase = {"event": arena.event.slug, "phrase": f"kill {arena.event.slug}"}
    assert len(admin.post(f"{API}/instances/kill-all", phrase).json()) == 3
    arena.work()

    assert arena.engine.list_owned() == []


def test_p104_8_delete(admin: APIClient) -> None:
    arena = make_arena(teams=3)
    slug = offer(admin, arena, 80, 443)
    in_use = admin.delete(f"{API}/challenges/{slug}")
    entry = admin.get(f"{API}/event-challenges").json()["results"][0]["id"]

    taken_out = admin.delete(f"{API}/event-challenges/{entry}")
    deleted = admin.delete(f"{API}/challenges/{slug}")

    assert (in_use.status_code, taken_out.status_code, deleted.status_code) == (409, 204, 204)


def test_p104_9_deleted_is_not_found(admin: APIClient) -> None:
    slug = admin.post(f"{API}/challenges", body(80, 443)).json()["slug"]
    admin.delete(f"{API}/challenges/{slug}")

    assert admin.get(f"{API}/challenges/{slug}").status_code == 404
    assert admin.get(f"{API}/challenges").json()["count"] == 0
