"""Powers: who may, when, what it asks for, and what asking twice does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import AuditEntry, User
from hub.engines.fake import Behaviour, FakeEngine
from hub.exceptions import Conflict, HubError, NotFound
from hub.nodes.choices import ObservedStatus as S
from hub.nodes.models import Address, Node, Operation
from servers import services
from servers.models import GameServer
from servers.services import state
from servers.tests.factories import make_server
from servers.tests.machine import settle

pytestmark = pytest.mark.django_db
POWERS: dict[str, Callable[..., Operation | None]] = {
    "start": services.start_server,
    "stop": services.stop_server,
    "restart": services.restart_server,
    "kill": services.kill_server,
    "delete": services.delete_server,
}


def server_in(owner: User, desired: str, observed: str, **values: Any) -> GameServer:
    server = make_server(owner=owner)
    GameServer.objects.filter(pk=server.pk).update(desired_status=desired, observed_status=observed, **values)
    return GameServer.objects.get(pk=server.pk)


# desired, observed → for each power: asks for it, "" for "already so", or the refusal
TABLE = [
    ("running", "queued", "", "stopped", "running", "stopped"),
    ("running", "pulling", "", "stopped", "running", "stopped"),
    ("running", "starting", "", "stopped", "running", "stopped"),
    ("running", "running", "", "stopped", "running", "stopped"),
    ("running", "unhealthy", "", "stopped", "running", "stopped"),
    ("running", "crashed", "running", "stopped", "running", "stopped"),
    ("running", "lost", "running", "stopped", "running", "stopped"),
    ("running", "failed", "running", "stopped", "running", "stopped"),
    ("stopped", "stopping", "running", "", "start it instead", "stopped"),
    ("stopped", "stopped", "running", "", "start it instead", ""),
    ("stopped", "failed", "running", "", "start it instead", ""),
]


@pytest.mark.parametrize(("desired", "observed", "start", "stop", "restart", "kill"), TABLE)
def test_every_power_in_every_state(
    owner: User, node: Node, desired: str, observed: str, start: str, stop: str, restart: str, kill: str
) -> None:
    for power, outcome in {"start": start, "stop": stop, "restart": restart, "kill": kill}.items():
        server = server_in(owner, desired, observed)
        if outcome in ("running", "stopped"):
            operation = POWERS[power](server, actor=owner)
            assert operation is not None, power
            assert (server.desired_status, server.generation) == (outcome, 2), power
            assert server.is_kill_wanted == (power == "kill")
        elif outcome == "":
            assert POWERS[power](server, actor=owner) is None, power
            assert server.generation == 1, power
        else:
            with pytest.raises(Conflict, match=outcome):
                POWERS[power](server, actor=owner)
        GameServer.objects.filter(pk=server.pk).update(observed_status="deleted")


@pytest.mark.parametrize("observed", [s for s in S.values if s not in ("deleted", "deleting")])
def test_delete_is_possible_in_every_state(owner: User, node: Node, observed: str) -> None:
    server = server_in(owner, "running", observed)

    assert services.delete_server(server, actor=owner) is not None
    assert server.desired_status == "deleted"


def test_delete_twice_is_one_operation(owner: User, node: Node) -> None:
    server = make_server(owner=owner)

    services.delete_server(server, actor=owner)

    assert services.delete_server(server, actor=owner) is None
    assert Operation.objects.filter(verb="delete").count() == 1


@pytest.mark.parametrize("power", ["start", "stop", "restart", "kill"])
def test_a_server_that_is_being_deleted_takes_no_power(owner: User, node: Node, power: str) -> None:
    server = server_in(owner, "deleted", "deleting")

    with pytest.raises(Conflict, match="being deleted"):
        POWERS[power](server, actor=owner)


@pytest.mark.parametrize("power", list(POWERS))
@pytest.mark.parametrize("admin_state", ["installing", "restoring"])
def test_an_install_or_restore_is_not_disturbed(owner: User, node: Node, power: str, admin_state: str) -> None:
    server = server_in(owner, "stopped", "stopped", admin_state=admin_state)

    with pytest.raises(Conflict, match=r"installed|restored"):
        POWERS[power](server, actor=owner)


def test_a_click_is_an_operation_with_audit_and_supersedes_the_older_one(owner: User, node: Node) -> None:
    server = make_server(owner=owner)

    services.stop_server(server, actor=owner)
    services.start_server(server, actor=owner)

    fates = dict(Operation.objects.values_list("verb", "status"))
    assert fates == {"create": "superseded", "stop": "superseded", "start": "queued"}
    assert AuditEntry.objects.filter(action__in=("server.stopped", "server.started"), actor_name="owner").count() == 2


def test_a_refused_power_changes_nothing(owner: User, node: Node) -> None:
    server = server_in(owner, "stopped", "stopped")

    with pytest.raises(Conflict):
        services.restart_server(server, actor=owner)

    assert Operation.objects.filter(verb="restart").count() == 0
    assert not AuditEntry.objects.filter(action="server.restarted").exists()


@pytest.mark.parametrize("power", list(POWERS))
def test_a_stranger_learns_nothing(owner: User, stranger: User, node: Node, power: str) -> None:
    server = make_server(owner=owner)

    with pytest.raises(NotFound):
        POWERS[power](server, actor=stranger)


@pytest.mark.parametrize("power", list(POWERS))
def test_a_viewer_may_look_but_not_touch(owner: User, viewer: User, node: Node, power: str) -> None:
    server = make_server(owner=owner)

    with pytest.raises(HubError) as error:
        POWERS[power](server, actor=viewer)

    assert error.value.status == 403


@pytest.mark.parametrize("power", ["stop", "restart", "kill", "delete"])
def test_an_operator_has_power_over_everybodys(owner: User, operator: User, node: Node, power: str) -> None:
    assert POWERS[power](make_server(owner=owner), actor=operator) is not None


@pytest.mark.parametrize(("desired", "observed"), [row[:2] for row in TABLE])
def test_allowed_actions_are_the_refusals_that_services_raise(
    owner: User, node: Node, desired: str, observed: str
) -> None:
    server = server_in(owner, desired, observed)

    reasons = services.allowed_actions(server, owner)

    assert set(reasons) == set(state.VERBS)
    assert {verb: reasons[verb] for verb in POWERS} == {verb: state.refusal(server, verb) for verb in POWERS}


def test_allowed_actions_of_a_stranger_are_none(owner: User, stranger: User, node: Node) -> None:
    assert set(services.allowed_actions(make_server(owner=owner), stranger).values()) == {state.NOT_ALLOWED}


# --- Seen through to the end over the fake engine -----------------------------------------------------------------


def test_from_creation_to_running_to_nothing(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    assert server.facts["players"] == 3

    services.stop_server(server, actor=owner)
    settle(server, "stopped")
    assert server.facts == {}

    services.start_server(server, actor=owner)
    settle(server, "running")

    services.delete_server(server, actor=owner)
    settle(server, "deleted")
    assert engine.list_owned() == []
    assert not Address.objects.filter(holder=server.pk).exists()
    assert set(Operation.objects.values_list("status", flat=True)) == {"done"}


def test_restart_ends_the_old_run_before_the_new_one(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")

    services.restart_server(server, actor=owner)
    settle(server, "starting")
    settle(server, "running")

    verbs = [call.verb for call in engine.calls() if call.verb in ("ensure", "stop", "kill")]
    assert verbs == ["ensure", "stop", "ensure"]


def test_kill_does_not_ask_politely(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")

    services.kill_server(server, actor=owner)
    settle(server, "stopped")

    assert not engine.calls("stop")
    assert server.exit_code == -9


def test_a_server_that_ignores_stop_is_killed_at_its_deadline(owner: User, engine: FakeEngine, games: Any) -> None:
    engine.behave(Behaviour(ignores_stop=True))
    server = make_server(owner=owner)
    server.template.stop_grace_seconds = 0
    server.template.save(update_fields=["stop_grace_seconds"])
    settle(server, "running")

    services.stop_server(server, actor=owner)
    settle(server, "stopped")

    assert server.exit_code == -9
    assert engine.calls("stop")


def test_silent_game_is_unhealthy_after_three_misses_and_well_again(
    owner: User, engine: FakeEngine, games: Any, settings: Any
) -> None:
    settings.HUB_SWEEP_SECONDS = 0
    server = make_server(owner=owner)
    settle(server, "running")
    answer, games.answer = games.answer, None

    settle(server, "unhealthy")
    assert "times in a row: Nothing listens" in server.status_reason

    games.answer = answer
    GameServer.objects.update(next_check_at=server.created_at)
    settle(server, "running")
