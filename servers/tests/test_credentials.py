"""Credentials: shown to those who may, audited, renewed, never elsewhere."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry, User
from hub.exceptions import HubError, NotFound
from hub.nodes.models import Node
from servers import services
from servers.models import GameServer
from servers.tests.factories import GAME, TemplateFactory, VariableFactory, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(owner: User, node: Node) -> GameServer:
    template = TemplateFactory()
    VariableFactory(template=template, key="ADMIN_WORD", kind="secret")
    VariableFactory(template=template, key="HIDDEN_WORD", kind="secret", is_visible=False)
    return make_server(owner=owner, node=node, template=template)


def test_reveal_opens_what_is_sealed_and_is_audited(server: GameServer, owner: User) -> None:
    credentials = services.reveal_credentials(server, actor=owner)

    assert credentials.rcon_password == GameServer.objects.get(pk=server.pk).rcon_password.reveal()
    assert list(credentials.secret_values) == ["ADMIN_WORD"]
    entry = AuditEntry.objects.get(action="server.credentials_revealed")
    assert (entry.actor_name, entry.data) == ("owner", {})


def test_those_who_write_templates_see_hidden_secrets_too(server: GameServer, operator: User) -> None:
    assert set(services.reveal_credentials(server, actor=operator).secret_values) == {"ADMIN_WORD", "HIDDEN_WORD"}


def test_each_look_is_an_entry_of_its_own(server: GameServer, owner: User) -> None:
    for _ in range(2):
        services.reveal_credentials(server, actor=owner)

    assert AuditEntry.objects.filter(action="server.credentials_revealed").count() == 2


def test_console_address_is_told_only_when_published(owner: User, node: Node, server: GameServer) -> None:
    published = make_server(owner=owner, node=node, published_ports=["rcon"], template=server.template)

    closed = services.reveal_credentials(server, actor=owner)
    opened = services.reveal_credentials(published, actor=owner)

    assert (closed.rcon_host, closed.rcon_port) == ("", None)
    assert (opened.rcon_host, opened.rcon_port) == ("127.0.0.1", 25567)


def test_a_game_without_console_has_no_console_password(owner: User, node: Node) -> None:
    server = make_server(owner=owner, node=node, template=TemplateFactory(ports=[GAME]))

    assert services.reveal_credentials(server, actor=owner).rcon_password == ""


def test_viewers_and_strangers_see_no_password(server: GameServer, viewer: User, stranger: User) -> None:
    with pytest.raises(HubError) as error:
        services.reveal_credentials(server, actor=viewer)
    assert error.value.status == 403

    with pytest.raises(NotFound):
        services.reveal_credentials(server, actor=stranger)
    assert not AuditEntry.objects.filter(action="server.credentials_revealed").exists()


def test_rotation_renews_every_secret(server: GameServer, owner: User) -> None:
    before = services.reveal_credentials(server, actor=owner)

    services.rotate_credentials(server, actor=owner)
    after = services.reveal_credentials(server, actor=owner)

    assert before.rcon_password != after.rcon_password
    assert before.secret_values["ADMIN_WORD"] != after.secret_values["ADMIN_WORD"]
    assert server.config_version == 2


def test_a_copied_secret_does_not_open_elsewhere(server: GameServer) -> None:
    from hub.secrets import Sealed, SecretError

    sealed = GameServer.objects.get(pk=server.pk).rcon_password

    with pytest.raises(SecretError):
        Sealed(sealed.sealed, "server.secret_values").reveal()
