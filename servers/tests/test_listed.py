"""The plain rows of lists say the same as the models and serializers that they spare."""

from __future__ import annotations

import pytest
from rest_framework.serializers import ModelSerializer

from accounts.models import User
from hub.engines.fake import FakeEngine
from hub.nodes.choices import ObservedStatus
from hub.nodes.models import Address
from hub.testing import api_client
from servers.api.serializers import ServerSerializer
from servers.listed import ListedServer, listed_columns
from servers.models import GameServer
from servers.tests.factories import TemplateFactory, make_server

pytestmark = pytest.mark.django_db


def listed(server: GameServer) -> ListedServer:
    (row,) = listed_columns(GameServer.objects.filter(pk=server.pk))
    return ListedServer(row)


def slowly(server: GameServer) -> dict[str, object]:
    """Field by field, as Django REST framework does it."""
    model = GameServer.objects.with_details().get(pk=server.pk)
    return dict(ModelSerializer.to_representation(ServerSerializer(), model))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"observed_status": ObservedStatus.RUNNING, "config_version": 3, "running_config_version": 2},
        {"facts": {"players": 2, "note": "<b>"}, "description": "Mine & yours"},
        {"progress_percent": 40, "status_reason": "Pulling", "admin_state": "suspended"},
    ],
)
def test_a_row_of_the_list_is_what_the_serializer_says(changes: dict[str, object], engine: FakeEngine, owner: User):
    server = make_server(owner=owner)
    GameServer.objects.filter(pk=server.pk).update(**changes)

    (shown,) = api_client(owner).get("/api/v1/servers").json()["results"]

    wanted = slowly(server)
    assert shown == {**wanted, "id": str(wanted["id"]), "template": dict(wanted["template"])}  # type: ignore[call-overload]


def test_a_server_without_an_address_has_none(engine: FakeEngine, owner: User):
    server = make_server(owner=owner)
    Address.objects.filter(holder=server.pk).update(holder=None, state="free")

    assert listed(server).address is None
    assert listed(server).addresses == []


def test_only_the_first_public_port_is_the_address(engine: FakeEngine, owner: User):
    ports = [
        {"name": "game", "target_port": 25565, "is_public": True},
        {"name": "query", "target_port": 25566, "is_public": True},
    ]
    server = make_server(owner=owner, template=TemplateFactory(ports=ports))

    assert listed(server).address == str(GameServer.objects.with_details().get(pk=server.pk).address)


def test_fields_of_rows_can_be_chosen(engine: FakeEngine, owner: User):
    make_server(owner=owner, name="other")

    (shown,) = api_client(owner).get("/api/v1/servers?fields=name,address").json()["results"]

    assert sorted(shown) == ["address", "name"]
