"""Creating a server: all that must hold together does, or nothing is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry, User
from accounts.tests.factories import QuotaFactory, UserFactory
from hub.exceptions import Conflict, HubError, Invalid, LimitReached, NotAllowed, TooMany
from hub.nodes.models import Address, AddressRequest, Node, Operation
from hub.nodes.tests.factories import RegionFactory
from hub.testing import count_queries, run_jobs
from servers.models import GameServer
from servers.services import create_server, preview_server
from servers.tests.factories import GAME, RCON, TemplateFactory, VariableFactory, make_node, make_server

pytestmark = pytest.mark.django_db


def test_a_new_server_is_wanted_queued_leased_and_recorded(owner: User, node: Node) -> None:
    server = make_server(owner=owner, name="  Über  World! ", node=node)

    assert server.name == "Über World!"
    assert (server.desired_status, server.observed_status) == ("running", "queued")
    assert server.next_check_at is not None
    assert str(server.address) == "127.0.0.1:25565"
    operation = Operation.objects.get()
    assert (operation.verb, operation.status, operation.actor) == ("create", "queued", owner)
    assert AuditEntry.objects.get(action="server.created").data["memory_mb"] == 1024


def test_its_launch_is_a_job_of_its_node(owner: User, node: Node, games: Any, engine: Any) -> None:
    server = make_server(owner=owner, node=node)

    ran = run_jobs(f"node:{node.name}")

    server.refresh_from_db()
    assert any("reconcile_workload" in job for job in ran)
    assert server.observed_status in ("starting", "running")


def test_passwords_are_made_and_sealed(owner: User, node: Node) -> None:
    server = GameServer.objects.get(pk=make_server(owner=owner, node=node).pk)

    assert str(server.rcon_password) == "••••••••"
    assert len(server.rcon_password.reveal()) == 12


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "ab"}, "name"),
        ({"name": "x" * 33}, "name"),
        ({"name": "evil\u202ename"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "<script>"}, "name"),
        ({"name": "-rf me"}, "name"),
        ({"name": ""}, "name"),
        ({"memory_mb": 1023}, "memory_mb"),
        ({"memory_mb": 16_385}, "memory_mb"),
        ({"memory_mb": True}, "memory_mb"),
        ({"disk_mb": 4_999}, "disk_mb"),
        ({"disk_mb": 500_001}, "disk_mb"),
        ({"cpu_percent": 0}, "cpu_percent"),
        ({"cpu_percent": 100_000}, "cpu_percent"),
        ({"values": {"NOPE": "x"}}, "values.NOPE"),
        ({"published_ports": ["game"]}, "published_ports"),
        ({"published_ports": ["nope"]}, "published_ports"),
        ({"description": "two\nlines"}, "description"),
    ],
)
def test_wrong_input_names_its_field_and_stores_nothing(
    owner: User, node: Node, wrong: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as error:
        make_server(owner=owner, node=node, **wrong)

    assert error.value.field == field
    assert not GameServer.objects.exists()
    assert not Address.objects.exclude(state="free").exists()
    assert not Operation.objects.exists()


def test_template_bounds_hold_within_those_of_the_house(owner: User, node: Node) -> None:
    template = TemplateFactory(max_memory_mb=2048, default_memory_mb=1024)

    with pytest.raises(Invalid, match="1024 to 2048 MB"):
        make_server(owner=owner, node=node, template=template, memory_mb=4096)


def test_a_name_is_taken_once_per_owner_without_regard_to_case(owner: User, stranger: User, node: Node) -> None:
    make_server(owner=owner, node=node, name="My World")

    with pytest.raises(Conflict) as error:
        make_server(owner=owner, node=node, name="MY WORLD")

    assert error.value.field == "name"
    assert make_server(owner=stranger, node=node, name="my world").pk


def test_the_name_of_a_deleted_server_is_free(owner: User, node: Node) -> None:
    first = make_server(owner=owner, node=node, name="My World")
    GameServer.objects.filter(pk=first.pk).update(observed_status="deleted")

    assert make_server(owner=owner, node=node, name="My World").pk


@pytest.mark.parametrize(
    ("limit", "most"), [("servers", 1), ("memory_mb", 1500), ("cpu_percent", 150), ("disk_mb", 9000)]
)
def test_each_quota_is_exact(owner: User, node: Node, limit: str, most: int) -> None:
    QuotaFactory(user=owner, **{limit: most})
    make_server(owner=owner, node=node)

    with pytest.raises(LimitReached) as error:
        make_server(owner=owner, node=node)

    assert (error.value.code, error.value.field) == ("quota_exceeded", limit)
    assert GameServer.objects.count() == 1


def test_deleted_servers_do_not_count_and_stopped_ones_do(owner: User, node: Node) -> None:
    QuotaFactory(user=owner, servers=1)
    first = make_server(owner=owner, node=node)
    GameServer.objects.filter(pk=first.pk).update(observed_status="stopped")
    with pytest.raises(LimitReached):
        make_server(owner=owner, node=node)

    GameServer.objects.filter(pk=first.pk).update(observed_status="deleted")

    assert make_server(owner=owner, node=node).pk


def test_l71_ten_creations_an_hour_deleted_ones_included(owner: User, settings: Any) -> None:
    node = make_node(size=20)
    QuotaFactory(user=owner, servers=50, memory_mb=10**6, cpu_percent=10**6, disk_mb=10**7)
    settings.HUB_CREATES_PER_HOUR = 3
    for _ in range(3):
        make_server(owner=owner, node=node)
    GameServer.objects.update(observed_status="deleted")

    with pytest.raises(TooMany) as error:
        make_server(owner=owner, node=node)
    assert 3500 < error.value.retry_after <= 3600

    GameServer.objects.update(created_at=timezone.now() - timedelta(hours=1, seconds=1))
    assert make_server(owner=owner, node=node).pk


def test_viewers_create_nothing(viewer: User, node: Node) -> None:
    with pytest.raises(NotAllowed):
        make_server(owner=viewer, node=node)


def test_only_an_admin_creates_for_others(operator: User, admin: User, owner: User, node: Node) -> None:
    asked = {
        "owner": owner,
        "name": "for you",
        "template": TemplateFactory(),
        "region": node.region,
        "memory_mb": 1024,
        "disk_mb": 5000,
    }

    with pytest.raises(NotAllowed):
        create_server(actor=operator, **asked)
    assert create_server(actor=admin, **asked).owner == owner
    assert create_server(actor=SYSTEM, **{**asked, "name": "by the hub"}).owner == owner


def test_nobody_gets_a_server_while_suspended(admin: User, node: Node) -> None:
    suspended = UserFactory(suspended_at=timezone.now())

    with pytest.raises(Invalid) as error:
        create_server(
            actor=admin,
            owner=suspended,
            name="for you",
            template=TemplateFactory(),
            region=node.region,
            memory_mb=1024,
            disk_mb=5000,
        )

    assert error.value.field == "owner"


def test_unpublished_templates_are_for_those_who_write_them(owner: User, operator: User, node: Node) -> None:
    template = TemplateFactory(is_published=False)

    with pytest.raises(Invalid) as error:
        make_server(owner=owner, node=node, template=template)

    assert error.value.field == "template"
    assert make_server(owner=operator, node=node, template=template).pk


def test_a_template_for_strangers_avoids_the_process_engine(owner: User) -> None:
    node = make_node(engine="process", options={"root": "/nowhere"})

    with pytest.raises(Invalid) as error:
        make_server(owner=owner, node=node, template=TemplateFactory(needs_isolation=True))

    assert error.value.code == "no_node"


def test_a_node_without_the_program_is_not_chosen(owner: User) -> None:
    program = "/usr/games/nothing"
    node = make_node(engine="process", options={"root": "/nowhere"}, agent_facts={"programs": {program: False}})

    with pytest.raises(Invalid) as error:
        make_server(owner=owner, node=node, template=TemplateFactory(process_program=program))

    assert error.value.code == "no_node"


def test_a_region_without_room_is_full(owner: User) -> None:
    node = make_node(memory_mb=1500)
    make_server(owner=owner, node=node)

    with pytest.raises(LimitReached) as error:
        make_server(owner=owner, node=node)

    assert error.value.code == "region_full"


def test_a_node_whose_engine_is_down_is_chosen_when_there_is_no_other(owner: User, node: Node) -> None:
    make_server(owner=owner, name="before")
    other = make_node(name="other", region=node.region)
    Node.objects.filter(pk=other.pk).update(engine_error="The engine does not answer.")

    with_other = make_server(owner=owner, name="first")
    Node.objects.filter(pk=node.pk).update(is_draining=True)
    alone = make_server(owner=owner, name="second")

    assert (with_other.node, alone.node) == (node, other)


def test_a_closed_region_takes_nothing(owner: User, node: Node) -> None:
    node.region.is_enabled = False

    with pytest.raises(Invalid) as error:
        make_server(owner=owner, node=node)

    assert error.value.field == "region"


def test_a_full_pool_queues_the_launch_and_shows_the_place(owner: User) -> None:
    node = make_node(size=1)
    make_server(owner=owner, node=node)

    waiting = [make_server(owner=owner, node=node) for _ in range(2)]

    assert [server.status_reason for server in waiting] == [
        "Waiting for a free address, place 1.",
        "Waiting for a free address, place 2.",
    ]
    assert [server.address for server in waiting] == [None, None]
    assert AddressRequest.objects.count() == 2


def test_more_ports_than_the_pool_has_are_refused_and_hold_up_nobody(owner: User) -> None:
    node = make_node(size=1)
    template = TemplateFactory(ports=[GAME, {**GAME, "name": "query", "target_port": 25566, "variable": ""}])

    with pytest.raises(Invalid) as error:
        make_server(owner=owner, node=node, template=template)

    assert (error.value.code, error.value.field) == ("no_node", "region")
    assert getattr(preview(owner, node, template=template).problem, "code", "") == "no_node"
    assert make_server(owner=owner, node=node).address is not None


def test_process_engine_gets_a_private_port_for_rcon_and_containers_none(owner: User, node: Node) -> None:
    in_container = make_server(owner=owner, node=node)
    elsewhere = RegionFactory(slug="elsewhere")
    process_node = make_node(engine="process", options={"root": "/nowhere"}, region=elsewhere)
    as_process = make_server(owner=owner, node=process_node)

    assert [(a.name, a.is_public) for a in in_container.leased_addresses] == [("game", True)]
    assert [(a.name, a.is_public) for a in as_process.leased_addresses] == [("game", True), ("rcon", False)]


def test_published_ports_get_a_public_lease(owner: User, node: Node) -> None:
    server = make_server(owner=owner, node=node, published_ports=["rcon"])

    assert [(a.name, a.is_public) for a in server.leased_addresses] == [("game", True), ("rcon", True)]
    assert str(server.address) == "127.0.0.1:25565"


def test_values_are_stored_and_secrets_sealed(owner: User, node: Node) -> None:
    template = TemplateFactory()
    VariableFactory(template=template, key="MOTD")
    VariableFactory(template=template, key="ADMIN_WORD", kind="secret")

    server = make_server(owner=owner, node=node, template=template, values={"MOTD": "'; DROP TABLE --"})

    stored = GameServer.objects.values("values", "secret_values").get(pk=server.pk)
    assert stored["values"] == {"MOTD": "'; DROP TABLE --"}
    assert str(stored["secret_values"]) == "••••••••"


def test_creation_asks_little_of_the_database(owner: User, node: Node) -> None:
    template = TemplateFactory()
    make_server(owner=owner, node=node, template=template)
    asked = {"template": template, "region": node.region, "memory_mb": 1024, "disk_mb": 5000}

    queries = count_queries(lambda: create_server(actor=owner, name="second one", **asked))

    # variables, savepoint, owner, usage, quota, nodes, node, server, lease, operation, audit, savepoint
    assert queries <= 12


# --- Preview ------------------------------------------------------------------------------------------------------


def preview(owner: User, node: Node, **asked: Any) -> Any:
    values = {"template": TemplateFactory(), "region": node.region, "memory_mb": 1024, "disk_mb": 5000, **asked}
    return preview_server(actor=owner, **values)


def test_preview_tells_address_node_and_what_is_left(owner: User, node: Node) -> None:
    make_server(owner=owner, node=node)

    seen = preview(owner, node)

    assert (str(seen.address), seen.node, seen.place_in_queue) == ("127.0.0.1:25566", node, None)
    assert (seen.quota_left.servers, seen.quota_left.memory_mb) == (3, 16_384 - 2048)
    assert seen.problem is None


def test_preview_reserves_nothing(owner: User, node: Node) -> None:
    preview(owner, node)

    assert not Address.objects.exclude(state="free").exists()
    assert not GameServer.objects.exists()


def test_preview_of_a_full_pool_tells_the_place(owner: User) -> None:
    node = make_node(size=1)
    for _ in range(2):
        make_server(owner=owner, node=node)

    seen = preview(owner, node)

    assert (seen.address, seen.place_in_queue) == (None, 2)


@pytest.mark.parametrize(
    ("free", "published", "seen"),
    [
        (2, (), ("127.0.0.1:25566", None)),
        (1, (), (None, 1)),
        (2, ("rcon",), (None, 1)),
        (3, ("rcon",), ("127.0.0.1:25566", None)),
    ],
)
def test_preview_finds_room_for_every_port_as_a_launch_does(
    owner: User, free: int, published: tuple[str, ...], seen: tuple[str | None, int | None]
) -> None:
    node = make_node(size=free + 1)
    make_server(owner=owner, node=node)
    query = {**GAME, "name": "query", "target_port": 25566, "variable": ""}
    template = TemplateFactory(ports=[GAME, query, RCON])

    likely = preview(owner, node, template=template, published_ports=published)
    made = make_server(owner=owner, node=node, template=template, published_ports=published)

    assert (likely.address and str(likely.address), likely.place_in_queue) == seen
    assert (made.address and str(made.address)) == seen[0]


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"memory_mb": 1}, "invalid"), ({"memory_mb": 16_384, "cpu_percent": 1600}, "quota_exceeded")],
)
def test_preview_tells_the_problem(owner: User, node: Node, asked: dict[str, Any], code: str) -> None:
    seen = preview(owner, node, **asked)

    assert isinstance(seen.problem, HubError)
    assert seen.problem.code == code


def test_preview_of_an_empty_region_tells_that_no_node_is_there(owner: User, node: Node) -> None:
    seen = preview(owner, node, region=RegionFactory(slug="nowhere"))

    assert seen.problem is not None
    assert seen.problem.code == "no_node"
