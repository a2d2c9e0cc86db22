"""Data that removed servers have left on a node: found, shown, deleted by name only, and never those of a live row."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from accounts.models import AuditEntry, User
from hub.engines.base import EngineError, Reason, workload_name
from hub.engines.fake import FakeEngine
from hub.exceptions import Conflict, Invalid, NotAllowed
from hub.jobs import node_queue
from hub.nodes import chores, kept
from hub.nodes.choices import ObservedStatus, OperationStatus
from hub.nodes.models import Node, NodeTask
from hub.nodes.reconcile import reconcile
from hub.nodes.sweep import sweep
from hub.nodes.tests.factories import NodeFactory
from hub.testing import api_client, run_jobs
from servers.models import GameServer

from .conftest import Games
from .factories import make_server
from .test_drift import orphan

pytestmark = pytest.mark.django_db


@pytest.fixture
def left(node: Node, engine: FakeEngine, games: Games) -> str:
    """A server that lives, and what the sweep has left of an orphan; answers with the name of the latter."""
    server = make_server(node=node)
    reconcile(GameServer, server.pk, engine=engine)
    name = orphan(engine)
    sweep(node, engine=engine)
    kept.report(node, engine)
    return name


def done(task: NodeTask, engine: FakeEngine) -> NodeTask:
    chores.do_task(task.pk, engine=engine)
    task.refresh_from_db()
    return task


def names(node: Node) -> list[str]:
    return [one.name for one in kept.cellar(node).kept]


def come_back(node: Node, name: str) -> GameServer:
    """The orphan's row is there again, as after the restoration of a newer dump."""
    server = make_server(node=node)
    GameServer.objects.filter(pk=server.pk).update(id=name[-36:])
    return GameServer.objects.get(pk=name[-36:])


def test_data_of_an_orphan_are_shown_and_those_of_the_living_are_not(node: Node, left: str) -> None:
    (one,) = kept.cellar(node).kept

    assert (one.name, one.size_mb) == (left, 1.0)
    assert one.why == "The database knows nothing of it."


def test_data_are_deleted_when_the_nodes_name_was_typed(node: Node, left: str, engine: FakeEngine, admin: User) -> None:
    task = done(kept.ask_removal(node, actor=admin, names=[left], confirm=node.name), engine)

    assert (task.status, task.message) == (OperationStatus.DONE, "Data of 1 deleted.")
    assert left not in engine.state.data
    assert names(node) == []
    assert AuditEntry.objects.get(action="node.data_removed").data["names"] == [left]
    assert AuditEntry.objects.get(action="node.data_removal_asked").actor_id == str(admin.pk)


@pytest.mark.parametrize("typed", ["", "yes", "N1 "])
def test_without_the_nodes_name_nothing_is_asked(node: Node, left: str, admin: User, typed: str) -> None:
    with pytest.raises(Invalid) as refused:
        kept.ask_removal(node, actor=admin, names=[left], confirm=typed)

    assert refused.value.field == "confirm"
    assert not NodeTask.objects.exists()


def test_data_that_are_nowhere_shown_are_refused(node: Node, left: str, admin: User) -> None:
    living = GameServer.objects.get().engine_name

    for name in (living, workload_name("server", uuid.uuid4()), "../../etc"):
        with pytest.raises(Invalid):
            kept.ask_removal(node, actor=admin, names=[name], confirm=node.name)
    with pytest.raises(Invalid):
        kept.ask_removal(node, actor=admin, names=[], confirm=node.name)


def test_row_that_has_come_back_keeps_its_data(node: Node, left: str, engine: FakeEngine, admin: User) -> None:
    task = kept.ask_removal(node, actor=admin, names=[left], confirm=node.name)
    come_back(node, left)

    done(task, engine)

    assert task.status == OperationStatus.FAILED
    assert "a live row stands behind it" in task.message
    assert left in engine.state.data
    assert names(node) == []


def test_row_on_another_node_protects_them_too(node: Node, left: str, engine: FakeEngine) -> None:
    server = come_back(node, left)
    GameServer.objects.filter(pk=server.pk).update(node=NodeFactory())

    kept.report(node, engine)

    assert names(node) == []


def test_workload_that_the_engine_has_again_keeps_its_data(
    node: Node, left: str, engine: FakeEngine, admin: User
) -> None:
    task = kept.ask_removal(node, actor=admin, names=[left], confirm=node.name)
    orphan(engine, uuid.UUID(left[-36:]))

    done(task, engine)

    assert "the engine has a workload with them again" in task.message
    assert left in engine.state.data


def test_data_left_by_a_deleted_server_are_told_by_its_name(node: Node, left: str, engine: FakeEngine) -> None:
    server = come_back(node, left)
    GameServer.objects.filter(pk=server.pk).update(observed_status=ObservedStatus.DELETED, deleted_at=server.created_at)

    kept.report(node, engine)

    (one,) = kept.cellar(node).kept
    assert (one.title, one.why) == (server.name, "Its row says deleted.")


def test_what_cannot_be_deleted_is_said_and_the_rest_goes(
    node: Node, left: str, engine: FakeEngine, admin: User
) -> None:
    other = orphan(engine)
    sweep(node, engine=engine)
    kept.report(node, engine)
    engine.fail("remove", EngineError("The disk is on fire.", reason=Reason.INTERNAL))

    task = done(kept.ask_removal(node, actor=admin, names=[left, other], confirm=node.name), engine)

    assert task.status == OperationStatus.DONE
    assert task.message == f"Data of 1 deleted; {left} stays: The disk is on fire.."
    assert names(node) == [left]


def test_what_a_cluster_is_still_deleting_is_under_way_and_not_refused(
    node: Node, left: str, engine: FakeEngine, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.report(node, engine)
    slow = EngineError("The cluster is deleting it.", reason=Reason.TIMED_OUT)
    engine.fail("remove", slow)
    asked = kept.ask_removal(node, actor=admin, names=[left], confirm=node.name)
    monkeypatch.setattr(engine, "kept_data", list)

    task = done(asked, engine)

    assert (task.status, task.message) == (
        OperationStatus.DONE,
        "Data of 0 deleted; those of 1 are being deleted by the cluster.",
    )
    assert AuditEntry.objects.get(action="node.data_removed").data == {"names": [left], "kept": []}


def test_the_agent_looks_of_its_own_accord(node: Node, engine: FakeEngine, games: Games) -> None:
    name = orphan(engine)
    sweep(node, engine=engine)

    chores.look_around(node, with_lists=True)

    assert names(node) == [name]


def test_engine_that_is_away_leaves_the_older_list_and_says_so(node: Node, left: str, engine: FakeEngine) -> None:
    engine.fail("kept_data", EngineError("Docker does not answer.", reason=Reason.UNAVAILABLE))

    with pytest.raises(EngineError):
        kept.report(node, engine)

    assert (names(node), kept.cellar(node).error) == ([left], "Docker does not answer.")


def test_only_who_changes_nodes_deletes(node: Node, left: str, operator: User) -> None:
    with pytest.raises(NotAllowed):
        kept.ask_removal(node, actor=operator, names=[left], confirm=node.name)


def test_node_whose_engine_keeps_none_says_so(admin: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "keeps_data", lambda node: False)

    with pytest.raises(Conflict):
        kept.ask_list(NodeFactory(), actor=admin)


# --- Page and API -------------------------------------------------------------------------------------------------


def test_page_shows_what_would_be_lost_and_wants_the_name(node: Node, left: str, admin: User, client: Client) -> None:
    client.force_login(admin)
    address = f"/nodes/{node.name}/data/remove?name={left}"

    page = client.get(f"/nodes/{node.name}/data").content.decode()
    shown = client.get(address).content.decode()
    refused = client.post(address, {"typed": "yes"})
    before = NodeTask.objects.count()
    client.post(address, {"typed": node.name})
    card = client.get(f"/nodes/{node.name}/").content.decode()

    assert left in page
    assert f"{left}, 1.0 MiB" in shown
    assert (refused.status_code, before) == (422, 0)
    assert NodeTask.objects.get().arguments == {"names": [left]}
    assert "Data left behind" in card


def test_page_without_a_choice_asks_for_one(node: Node, left: str, admin: User, client: Client) -> None:
    client.force_login(admin)

    answer = client.get(f"/nodes/{node.name}/data/remove", follow=True)

    assert "Choose what shall be deleted." in answer.content.decode()


def test_api_lists_previews_and_deletes(node: Node, left: str, engine: FakeEngine, admin: User) -> None:
    api, base = api_client(admin), f"/api/v1/nodes/{node.name}/data"

    listed = api.get(base).json()
    preview = api.post(f"{base}/remove", {"names": [left], "preview": True}).json()
    refused = api.post(f"{base}/remove", {"names": [left], "confirm": "yes"})
    asked = api.post(f"{base}/remove", {"names": [left], "confirm": node.name}).json()
    run_jobs(node_queue(node.name))

    assert [one["name"] for one in listed["kept"]] == [left]
    assert (preview["size_mb"], preview["kept"][0]["size_bytes"]) == (1.0, 1024**2)
    assert refused.status_code == 400
    assert api.get(f"/api/v1/node-tasks/{asked['id']}").json()["status"] == "done"
    assert api.get(base).json()["kept"] == []
