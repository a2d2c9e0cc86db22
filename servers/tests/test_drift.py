"""Database, engine and sockets side by side: each way they can disagree is named, and each remedy mends it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from accounts.models import AuditEntry, User
from hub.engines.base import EngineError, Limits, Reason, WorkloadSpec
from hub.engines.fake import FakeEngine
from hub.exceptions import Conflict, NotAllowed, NotFound
from hub.nodes import chores, drift, leases, repairs, sockets
from hub.nodes.choices import AddressState, Finding, ObservedStatus, OperationStatus, ReportKind
from hub.nodes.models import Address, Node, NodeReport, NodeTask
from hub.nodes.reconcile import reconcile
from hub.nodes.sockets import Listener
from servers import services
from servers.models import GameServer

from .conftest import Games
from .factories import make_server

S = ObservedStatus
pytestmark = pytest.mark.django_db


class Ports:
    """Stands in for the sockets of the machine."""

    def __init__(self) -> None:
        self.found: dict[int, Listener] = {}

    def listen(self, address: Address, program: str = "docker-proxy") -> None:
        self.found[address.port or 0] = Listener(str(address.ip), address.port or 0, ("TCP",), 12, program)

    def listeners(self, wanted: Any = lambda port: True) -> sockets.Listeners:
        return {port: [one] for port, one in self.found.items() if wanted(port)}


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Ports:
    ports = Ports()
    monkeypatch.setattr(sockets, "listeners", ports.listeners)
    return ports


@pytest.fixture
def server(node: Node, engine: FakeEngine, games: Games, ports: Ports) -> GameServer:
    server = make_server(node=node)
    for _ in range(2):
        reconcile(GameServer, server.pk, engine=engine)
    ports.listen(server.addresses()[0])
    server.refresh_from_db()
    return server


def findings(node: Node, engine: FakeEngine) -> dict[str, str]:
    """What is not in step, by subject."""
    return {row.subject: row.finding for row in drift.compare(node, engine) if row.finding != Finding.IN_STEP}


def mend(node: Node, engine: FakeEngine, actor: User, verb: str) -> NodeTask:
    """Look, ask for a remedy of the gravest finding, and let the agent do it."""
    row = drift.look(node, engine)[0]
    task = repairs.ask_remedy(node, actor=actor, verb=verb, key=row.key)
    chores.do_task(task.pk, engine=engine)
    task.refresh_from_db()
    return task


def orphan(engine: FakeEngine, id: uuid.UUID | None = None) -> str:
    """Start something that carries our labels and belongs to nobody."""
    spec = WorkloadSpec(
        kind="server", id=id or uuid.uuid4(), generation=1, owner="1", command=["x"], limits=Limits(64, 10, 100)
    )
    engine.ensure(spec)
    return spec.name


def test_a_running_server_is_in_step(server: GameServer, node: Node, engine: FakeEngine) -> None:
    row = drift.compare(node, engine)[0]

    assert (row.finding, row.subject) == (Finding.IN_STEP, server.name)
    assert "Running" in row.database
    assert row.engine == f"Running, generation {server.generation}"
    assert "docker-proxy (pid 12) on TCP" in row.sockets


def test_a_server_gone_from_the_engine_is_missing_and_launched_again(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    engine.lose(server.engine_name)

    task = mend(node, engine, admin, "repair")

    server.refresh_from_db()
    assert task.arguments["finding"] == Finding.MISSING
    assert task.status == OperationStatus.DONE
    assert server.observed_status == S.LOST
    assert "restart" in task.message.lower()


def test_a_server_that_runs_though_stopped_differs_and_is_stopped(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    GameServer.objects.filter(pk=server.pk).update(desired_status="stopped", observed_status="stopped")

    assert findings(node, engine) == {server.name: Finding.DIFFERS}
    mend(node, engine, admin, "repair")

    assert engine.calls("stop")


def test_an_older_generation_that_runs_differs(server: GameServer, node: Node, engine: FakeEngine) -> None:
    GameServer.objects.filter(pk=server.pk).update(generation=server.generation + 1)

    assert findings(node, engine) == {server.name: Finding.DIFFERS}


def test_what_runs_unnoticed_is_adopted(server: GameServer, node: Node, engine: FakeEngine, admin: User) -> None:
    GameServer.objects.filter(pk=server.pk).update(observed_status="failed")

    assert findings(node, engine) == {server.name: Finding.UNNOTICED}
    mend(node, engine, admin, "adopt")

    server.refresh_from_db()
    assert server.observed_status == S.RUNNING
    assert AuditEntry.objects.filter(action="drift.adopted", target_id=str(node.pk)).exists()
    assert findings(node, engine) == {}


def test_a_wish_under_way_is_no_problem(server: GameServer, node: Node, engine: FakeEngine, owner: User) -> None:
    services.delete_server(server, actor=server.owner)

    assert findings(node, engine) == {server.name: Finding.BUSY}


def test_an_orphan_is_removed_and_keeps_its_data(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    name = orphan(engine)

    task = mend(node, engine, admin, "remove")

    assert task.status == OperationStatus.DONE
    assert engine.inspect(name) is None
    assert name in engine.state.data
    assert [entry.data["finding"] for entry in AuditEntry.objects.filter(action="drift.removed")] == ["orphan"]


def test_an_orphan_that_its_cluster_is_still_removing_is_on_its_way_out(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    orphan(engine)
    engine.fail("remove", EngineError("The cluster is deleting it.", reason=Reason.TIMED_OUT), after=True)

    task = mend(node, engine, admin, "remove")

    assert task.status == OperationStatus.DONE
    assert task.message.endswith("is being removed, its data are kept: The cluster is deleting it.")


def test_an_orphan_whose_row_has_come_back_is_left_alone(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    GameServer.objects.filter(pk=server.pk).update(observed_status="deleted")
    row = drift.look(node, engine)[0]
    task = repairs.ask_remedy(node, actor=admin, verb="remove", key=row.key)
    GameServer.objects.filter(pk=server.pk).update(observed_status="running")

    chores.do_task(task.pk, engine=engine)

    task.refresh_from_db()
    assert (row.finding, task.status) == (Finding.ORPHAN, OperationStatus.FAILED)
    assert "live row" in task.message
    assert engine.inspect(server.engine_name) is not None


def test_a_running_server_whose_port_nobody_listens_on_is_restarted(
    server: GameServer, node: Node, engine: FakeEngine, ports: Ports, admin: User
) -> None:
    ports.found.clear()

    task = mend(node, engine, admin, "repair")

    server.refresh_from_db()
    assert task.arguments["finding"] == Finding.SILENT
    assert server.generation == 2


def test_a_leased_port_that_a_stranger_has_bound_is_blocked_and_another_taken(
    server: GameServer, node: Node, engine: FakeEngine, ports: Ports, operator: User
) -> None:
    GameServer.objects.filter(pk=server.pk).update(desired_status="stopped", observed_status="stopped")
    engine.kill(server.engine_name)
    old = server.addresses()[0]
    ports.listen(old, "nginx")

    task = mend(node, engine, operator, "repair")

    old.refresh_from_db()
    assert task.arguments["finding"] == Finding.TAKEN
    assert (old.state, "nginx (pid 12)" in old.reason) == (AddressState.BLOCKED, True)
    assert server.addresses()[0].port != old.port


def test_a_stranger_on_a_free_port_is_shown_with_its_program_and_the_port_blocked(
    server: GameServer, node: Node, engine: FakeEngine, ports: Ports, admin: User
) -> None:
    free = Address.objects.filter(state=AddressState.FREE).last()
    ports.listen(free, "nginx")

    shown = drift.compare(node, engine)[0]
    mend(node, engine, admin, "repair")

    free.refresh_from_db()
    assert (shown.finding, "nginx" in shown.sockets) == (Finding.STRANGER, True)
    assert free.state == AddressState.BLOCKED
    assert findings(node, engine) == {}


def test_a_blocked_port_that_is_free_again_can_be_put_back(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    free = Address.objects.filter(state=AddressState.FREE).last()
    leases.block(free, reason="TCP port is in use by another program.")

    assert findings(node, engine) == {str(free): Finding.UNUSED_BLOCK}
    row = next(row for row in drift.look(node, engine) if row.finding == Finding.UNUSED_BLOCK)
    chores.do_task(repairs.ask_remedy(node, actor=admin, verb="repair", key=row.key).pk, engine=engine)

    free.refresh_from_db()
    assert free.state == AddressState.FREE


def test_a_lease_of_the_dead_is_released_and_rests(
    server: GameServer, node: Node, engine: FakeEngine, operator: User
) -> None:
    free = Address.objects.filter(state=AddressState.FREE).last()
    Address.objects.filter(pk=free.pk).update(state=AddressState.LEASED, holder=uuid.uuid4(), port_name="game")

    task = mend(node, engine, operator, "remove")

    free.refresh_from_db()
    assert task.arguments["finding"] == Finding.DEAD_LEASE
    assert free.state == AddressState.QUARANTINED


def test_a_lease_that_has_a_holder_by_now_is_not_released(
    server: GameServer, node: Node, engine: FakeEngine, operator: User
) -> None:
    free = Address.objects.filter(state=AddressState.FREE).last()
    Address.objects.filter(pk=free.pk).update(state=AddressState.LEASED, holder=uuid.uuid4(), port_name="game")
    row = drift.look(node, engine)[0]
    task = repairs.ask_remedy(node, actor=operator, verb="remove", key=row.key)
    Address.objects.filter(pk=free.pk).update(holder=server.pk)

    chores.do_task(task.pk, engine=engine)

    free.refresh_from_db()
    assert free.state == AddressState.LEASED


def test_a_step_taken_while_looking_is_no_drift(
    server: GameServer, node: Node, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine listed it a moment before it ended, was noticed and started again."""
    listed = engine.list_owned
    monkeypatch.setattr(engine, "list_owned", lambda: [seen for seen in listed() if seen.id != server.pk])

    assert findings(node, engine) == {}


def test_each_remedy_asks_for_its_own_right(
    server: GameServer, node: Node, engine: FakeEngine, operator: User, viewer: User, stranger: User
) -> None:
    orphan(engine)
    key = drift.look(node, engine)[0].key

    for actor, error in ((operator, NotAllowed), (viewer, NotAllowed), (stranger, NotFound)):
        with pytest.raises(error):
            repairs.ask_remedy(node, actor=actor, verb="remove", key=key)
    assert not NodeTask.objects.exists()


def test_a_row_that_is_gone_or_needs_nothing_is_refused(
    server: GameServer, node: Node, engine: FakeEngine, admin: User
) -> None:
    key = drift.look(node, engine)[0].key

    with pytest.raises(Conflict):
        repairs.ask_remedy(node, actor=admin, verb="repair", key=key)
    with pytest.raises(NotFound):
        repairs.ask_remedy(node, actor=admin, verb="repair", key="workload:gone")


def test_an_engine_that_is_away_leaves_the_old_rows_and_says_why(
    server: GameServer, node: Node, engine: FakeEngine
) -> None:
    drift.look(node, engine)
    engine.fail("list_owned", EngineError("Docker does not answer.", reason=Reason.UNAVAILABLE))

    chores.look_around(node)

    report = NodeReport.objects.get(node=node, kind=ReportKind.DRIFT)
    assert report.error == "Docker does not answer."
    assert len(report.rows) == 1


def test_looking_costs_a_constant_number_of_queries(
    server: GameServer, node: Node, engine: FakeEngine, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        made = make_server(node=node, name=f"more {number}")
        for _ in range(2):
            reconcile(GameServer, made.pk, engine=engine)

    with django_assert_max_num_queries(9):
        drift.compare(node, engine)
