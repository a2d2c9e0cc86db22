"""Rename, resize, variables, suspension."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import AuditEntry, User
from accounts.tests.factories import QuotaFactory
from hub.engines.fake import FakeEngine
from hub.exceptions import Conflict, HubError, Invalid, LimitReached
from hub.nodes.models import Node
from servers import services
from servers.models import GameServer
from servers.tests.factories import TemplateFactory, VariableFactory, make_node, make_server
from servers.tests.machine import settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def server(owner: User, node: Node) -> GameServer:
    template = TemplateFactory()
    VariableFactory(template=template, key="MOTD", default="hello")
    VariableFactory(template=template, key="STAFF_ONLY", is_editable=False)
    VariableFactory(template=template, key="ADMIN_WORD", kind="secret")
    return make_server(owner=owner, node=node, template=template)


def test_rename_changes_name_and_nothing_else(server: GameServer, owner: User) -> None:
    services.rename_server(server, actor=owner, name="Another world", description="for us")

    server.refresh_from_db()
    assert (server.name, server.description, server.generation) == ("Another world", "for us", 1)
    assert AuditEntry.objects.get(action="server.renamed").data["after"]["name"] == "Another world"


def test_rename_to_a_taken_name_is_refused(server: GameServer, owner: User) -> None:
    make_server(owner=owner, name="Taken", template=server.template)

    with pytest.raises(Conflict) as error:
        services.rename_server(server, actor=owner, name="TAKEN")

    assert error.value.field == "name"
    server.refresh_from_db()
    assert server.name != "TAKEN"


def test_resize_counts_only_what_is_more(server: GameServer, owner: User) -> None:
    QuotaFactory(user=owner, memory_mb=4096)

    services.resize_server(server, actor=owner, memory_mb=4096, disk_mb=5000)
    with pytest.raises(LimitReached) as error:
        services.resize_server(server, actor=owner, memory_mb=4097, disk_mb=5000)

    assert error.value.field == "memory_mb"
    server.refresh_from_db()
    assert server.memory_mb == 4096


def test_resize_down_is_possible_when_over_quota(server: GameServer, owner: User) -> None:
    services.resize_server(server, actor=owner, memory_mb=8192, disk_mb=9000)
    QuotaFactory(user=owner, memory_mb=1024)

    services.resize_server(server, actor=owner, memory_mb=2048, disk_mb=9000)

    assert server.memory_mb == 2048


def test_resize_fits_the_node(owner: User) -> None:
    server = make_server(owner=owner, node=make_node(memory_mb=2048))

    with pytest.raises(LimitReached) as error:
        services.resize_server(server, actor=owner, memory_mb=3000, disk_mb=5000)

    assert error.value.code == "region_full"


def test_resize_down_is_possible_on_an_overfull_node(owner: User) -> None:
    server = make_server(owner=owner, node=make_node(memory_mb=2048, disk_mb=20_000), memory_mb=2048, disk_mb=10_000)
    Node.objects.update(memory_mb=1024, disk_mb=5000)

    services.resize_server(server, actor=owner, memory_mb=1536)

    assert (server.memory_mb, server.disk_mb) == (1536, 10_000)
    with pytest.raises(LimitReached):
        services.resize_server(server, actor=owner, memory_mb=1024, disk_mb=10_001)


def test_changes_keep_what_others_have_changed_meanwhile(server: GameServer, owner: User) -> None:
    seen = GameServer.objects.get(pk=server.pk)
    services.resize_server(server, actor=owner, memory_mb=4096)
    services.rename_server(server, actor=owner, name="New name")

    services.resize_server(seen, actor=owner, disk_mb=6000)
    services.rename_server(seen, actor=owner, description="Mine")

    server.refresh_from_db()
    assert (server.memory_mb, server.disk_mb) == (4096, 6000)
    assert (server.name, server.description) == ("New name", "Mine")


def test_resize_out_of_bounds_names_the_field(server: GameServer, owner: User) -> None:
    with pytest.raises(Invalid) as error:
        services.resize_server(server, actor=owner, memory_mb=1024, disk_mb=1)

    assert error.value.field == "disk_mb"


def test_a_change_waits_for_the_next_start(server: GameServer, owner: User, engine: FakeEngine, games: Any) -> None:
    settle(server, "running")

    services.update_variables(server, actor=owner, values={"MOTD": "new"})
    assert server.needs_restart

    services.restart_server(server, actor=owner)
    settle(server, "starting")
    settle(server, "running")
    assert not server.needs_restart
    assert engine.calls("ensure")[-1].args[0].env["MOTD"] == "new"


def test_variables_keep_what_is_not_given(server: GameServer, owner: User) -> None:
    secret = GameServer.objects.get(pk=server.pk).secret_values.reveal()

    services.update_variables(server, actor=owner, values={"MOTD": "new"})

    server.refresh_from_db()
    assert server.values == {"MOTD": "new", "STAFF_ONLY": ""}
    assert server.secret_values.reveal() == secret


def test_variables_in_audit_are_names_only(server: GameServer, owner: User) -> None:
    services.update_variables(server, actor=owner, values={"MOTD": "new", "ADMIN_WORD": "Abcdefgh1234"})

    entry = AuditEntry.objects.get(action="server.variables_changed")
    assert entry.data == {"changed": ["ADMIN_WORD", "MOTD"]}


def test_setting_what_is_there_already_changes_nothing(server: GameServer, owner: User) -> None:
    services.update_variables(server, actor=owner, values={"MOTD": "hello"})

    assert server.config_version == 1
    assert not AuditEntry.objects.filter(action="server.variables_changed").exists()


def test_variables_of_the_house_are_not_the_owners(server: GameServer, owner: User, operator: User) -> None:
    with pytest.raises(Invalid):
        services.update_variables(server, actor=owner, values={"STAFF_ONLY": "x"})

    services.update_variables(server, actor=operator, values={"STAFF_ONLY": "x"})
    assert server.values["STAFF_ONLY"] == "x"


def test_suspension_stops_and_binds_the_owner(
    server: GameServer, owner: User, operator: User, engine: FakeEngine, games: Any
) -> None:
    settle(server, "running")

    services.suspend_server(server, actor=operator, reason="Unpaid")
    settle(server, "stopped")

    for refused in (services.start_server, services.restart_server, services.delete_server):
        with pytest.raises(Conflict, match="Unpaid"):
            refused(server, actor=owner)
    assert services.allowed_actions(server, owner)["start"] == "It is suspended: Unpaid"
    assert services.reveal_credentials(server, actor=owner).rcon_password


def test_lifting_a_suspension_leaves_the_start_to_the_owner(server: GameServer, owner: User, operator: User) -> None:
    services.suspend_server(server, actor=operator, reason="Unpaid")

    services.unsuspend_server(server, actor=operator)

    assert (server.admin_state, server.desired_status) == ("", "stopped")
    assert services.start_server(server, actor=owner) is not None


def test_owners_do_not_suspend(server: GameServer, owner: User) -> None:
    for refused in (
        lambda: services.suspend_server(server, actor=owner, reason="x"),
        lambda: services.unsuspend_server(server, actor=owner),
    ):
        with pytest.raises(HubError) as error:
            refused()
        assert error.value.status == 403
