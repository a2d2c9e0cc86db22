"""A worker that was thought dead wakes up: what it does then is refused, or is found and undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from hub.engines.fake import FakeEngine
from hub.nodes import jobs, leases, reconcile, steps
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, AddressPool, AddressRequest, Node
from hub.testing import empty_queues, wait_until
from servers.models import GameServer
from servers.services import delete_server, stop_server

from .conftest import Games
from .factories import make_server
from .faults import House, ending_of, in_child, open_house, recover, work

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LEASE_SECONDS", 0.3)
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.05)
    empty_queues()


@pytest.fixture
def waiting(node: Node, engine: FakeEngine, games: Games) -> GameServer:
    """A server without an address, though there are free ones now."""
    AddressPool.objects.update(is_enabled=False)
    server = make_server(node=node)
    AddressPool.objects.update(is_enabled=True)
    return server


def leased() -> list[Any]:
    return list(Address.objects.filter(state=AddressState.LEASED).values_list("holder", flat=True))


def wait_for_transaction() -> None:
    """Until the child sleeps in the middle of its transaction."""
    idle = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()
    """

    def is_sleeping() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(idle)
            return bool(cursor.fetchone()[0])

    wait_until(is_sleeping, what="the child's transaction")


def delete_now(server: GameServer) -> None:
    """Delete it with another worker, once the lease of the late one has run out."""
    delete_server(server, actor=server.owner)

    def is_deleted() -> bool:
        jobs.reconcile_workload("server", str(server.pk))
        return GameServer.objects.filter(pk=server.pk, observed_status="deleted").exists()

    wait_until(is_deleted, what="the end of the server")


def late_reconcile(server: GameServer, point: str, seconds: float) -> int:
    """A worker that falls asleep at a failpoint."""
    pid = in_child(lambda: jobs.reconcile_workload("server", str(server.pk)), failpoint=f"{point}=sleep:{seconds}")
    wait_until(lambda: GameServer.objects.filter(pk=server.pk, lease_token__isnull=False).exists(), what="the claim")
    return pid


def test_queue_served_while_the_server_is_deleted_leaks_no_address(node: Node, waiting: GameServer) -> None:
    pid = in_child(lambda: leases.serve_queue(node), failpoint="leases.after_lease=sleep:0.5")
    wait_for_transaction()

    delete_now(waiting)
    ending_of(pid)

    assert leased() == []
    assert not AddressRequest.objects.exists()


def test_late_worker_leases_nothing_for_a_deleted_server(node: Node, waiting: GameServer) -> None:
    AddressRequest.objects.all().delete()
    pid = late_reconcile(waiting, "reconcile.before_inspect", 1.0)

    delete_now(waiting)
    ending_of(pid)

    assert leased() == []
    assert not AddressRequest.objects.exists()


def test_late_worker_moves_no_address_of_a_deleted_server(node: Node, engine: FakeEngine, games: Games) -> None:
    server = make_server(node=node)
    taken = Address.objects.held_by(server.pk).get()
    engine.state.occupied.add((str(taken.ip), taken.port))
    pid = late_reconcile(server, "reconcile.before_inspect", 1.0)

    delete_now(server)
    ending_of(pid)

    assert leased() == []
    assert not AddressRequest.objects.exists()


@pytest.fixture
def house() -> Iterator[House]:
    with open_house() as house:
        yield house


def test_late_launch_of_a_deleted_server_is_undone_with_its_data(house: House) -> None:
    server = house.create()
    pid = late_reconcile(server, "reconcile.before_ensure", 1.0)

    delete_now(server)
    ending_of(pid)
    assert len(house.programs(server)) == 1
    recover(house)

    assert house.complaints() == []


def test_late_launch_of_a_stopped_server_is_ended(house: House) -> None:
    server = house.create()
    pid = late_reconcile(server, "reconcile.before_ensure", 1.0)

    stop_server(server, actor=server.owner)
    work(house.node, house.is_settled)
    ending_of(pid)
    recover(house)

    assert house.complaints() == []


def test_two_workers_at_the_same_launch_start_one_program(house: House) -> None:
    server = house.create()
    pid = late_reconcile(server, "reconcile.before_ensure", 0.8)

    work(house.node, house.is_settled)
    ending_of(pid)
    recover(house)

    assert house.complaints() == []
    assert len(house.programs(server)) == 1
