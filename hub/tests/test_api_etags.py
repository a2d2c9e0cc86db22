"""ETags: 304 for what one has, 412 for what somebody else changed."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.actors import SYSTEM
from hub.nodes.choices import ObservedStatus
from hub.testing import api_client
from servers import services
from servers.models import GameServer

from .world import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def client(world: World) -> APIClient:
    return api_client(world.person("owner"))


@pytest.fixture
def url(world: World) -> str:
    return f"/api/v1/servers/{world.server.pk}"


def patch(client: APIClient, url: str, tag: str, **body: Any) -> Any:
    return client.patch(url, body, format="json", headers={"If-Match": tag})


def test_what_one_has_is_not_sent_again(client: APIClient, url: str) -> None:
    for address in (url, "/api/v1/servers", "/api/v1/servers?format=csv"):
        first = client.get(address)
        again = client.get(address, headers={"If-None-Match": first["ETag"]})

        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
        assert again["Cache-Control"] == "private, no-cache"
        assert "RateLimit-Remaining" in again.headers


def test_other_fields_are_another_answer(client: APIClient, url: str) -> None:
    tag = client.get(url)["ETag"]

    assert client.get(f"{url}?fields=name", headers={"If-None-Match": tag}).status_code == 200


def test_what_an_agent_reports_is_news_and_no_conflict(client: APIClient, url: str, world: World) -> None:
    before = client.get(url)["ETag"]
    GameServer.objects.filter(pk=world.server.pk).update(observed_status=ObservedStatus.STARTING)

    after = client.get(url, headers={"If-None-Match": before})

    assert (after.status_code, after["ETag"] == before) == (200, False)
    assert patch(client, url, before, name="creative").status_code == 200


def test_change_of_somebody_else_is_not_overwritten(client: APIClient, url: str, world: World) -> None:
    tag = client.get(url)["ETag"]
    services.rename_server(world.server, actor=SYSTEM, name="renamed by another")

    answer = patch(client, url, tag, name="creative")

    assert (answer.status_code, answer.json()["code"]) == (412, "changed_meanwhile")
    assert answer.json()["fields"].keys() == {"If-Match"}
    assert GameServer.objects.get().name == "renamed by another"


def test_answer_to_a_change_has_the_next_tag(client: APIClient, url: str) -> None:
    first = patch(client, url, client.get(url)["ETag"], name="creative")
    second = patch(client, url, first["ETag"], memory_mb=1536)

    assert (first.status_code, second.status_code) == (200, 200)
    assert second["ETag"] == client.get(url)["ETag"]


@pytest.mark.parametrize("form", ["W/{tag}", '"other", {tag}', "*"])
def test_tag_may_come_in_other_forms(client: APIClient, url: str, form: str) -> None:
    tag = client.get(url)["ETag"]

    assert patch(client, url, form.format(tag=tag), name="creative").status_code == 200


@pytest.mark.parametrize("tag", ['"nonsense"', "nonsense", '""', ""])
def test_tag_that_is_none_refuses(client: APIClient, url: str, tag: str) -> None:
    assert patch(client, url, tag, name="creative").status_code == 412


def test_deletion_honours_the_tag(client: APIClient, url: str, world: World) -> None:
    tag = client.get(url)["ETag"]
    services.resize_server(world.server, actor=SYSTEM, memory_mb=1536, disk_mb=world.server.disk_mb)

    assert client.delete(url, headers={"If-Match": tag}).status_code == 412
    assert client.delete(url, headers={"If-Match": client.get(url)["ETag"]}).status_code == 202


def test_refusal_behind_a_matching_tag_stores_nothing(client: APIClient, url: str, world: World) -> None:
    answer = patch(client, url, "*", name="creative", memory_mb=10)

    assert answer.status_code == 400
    assert GameServer.objects.get().name == "survival"


def test_what_one_may_not_see_is_a_404_with_any_tag(url: str, world: World) -> None:
    assert patch(api_client(world.person("stranger")), url, "*", name="mine").status_code == 404


CHANGES = [
    ("users/{user}", {"first_name": "Ada"}),
    ("tokens/{token}", {"is_enabled": False}),
    ("regions/{region}", {"name": "Frankfurt"}),
    ("nodes/{node}", {"is_draining": True}),
    ("address-pools/{pool}", {"is_enabled": False}),
    ("templates/{template}", {"description": "Better."}),
    ("servers/{server}", {"description": "Better."}),
]


@pytest.mark.parametrize(("path", "body"), CHANGES, ids=[path for path, _ in CHANGES])
def test_every_change_follows_the_tag(world: World, path: str, body: dict[str, Any]) -> None:
    client = api_client(world.person("admin"))
    address = "/api/v1/" + path.format(
        user=world.person("owner").pk,
        token=world.token.pk,
        region=world.node.region.slug,
        node=world.node.name,
        pool=world.pool.pk,
        template=world.template.slug,
        server=world.server.pk,
    )
    tag = client.get(address)["ETag"]

    changed = patch(client, address, tag, **body)
    late = patch(client, address, tag, **body)

    assert (changed.status_code, late.status_code) == (200, 412)
    assert changed["ETag"].split(".")[0] == client.get(address)["ETag"].split(".")[0]
