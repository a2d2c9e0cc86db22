"""A worker that was thought dead wakes up: what it does then is refused, or is found and undone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from hub import failpoints
from hub.engines.fake import FakeEngine
from hub.nodes import jobs, leases, reconcile, steps
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, AddressPool, AddressRequest, Node
from hub.testing import empty_queues, replace_sleep, wait_until
from servers.models import GameServer
from servers.services import delete_server, stop_server

from .conftest import Games
from .factories import make_server
from .faults import House, ending_of, in_child, lasting_complaints, open_house, recover, work

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


class Late:
    """A worker that falls asleep at a failpoint until it is woken."""

    def __init__(self, action: Callable[[], object], point: str) -> None:
        self._ear, self._mouth = os.pipe()

        def act() -> None:
            replace_sleep(pytest.MonkeyPatch(), failpoints, lambda _: os.read(self._ear, 1))
            action()

        self.pid = in_child(act, failpoint=f"{point}=sleep:0")

    def wake(self) -> None:
        os.write(self._mouth, b"!")

    def end(self) -> None:
        """Wake it, and let it do what it was late with."""
        self.wake()
        ending_of(self.pid)
        for end in (self._ear, self._mouth):
            os.close(end)


def late_reconcile(server: GameServer, point: str) -> Late:
    late = Late(lambda: jobs.reconcile_workload("server", str(server.pk)), point)
    wait_until(lambda: GameServer.objects.filter(pk=server.pk, lease_token__isnull=False).exists(), what="the claim")
    return late


def test_queue_served_while_the_server_is_deleted_leaks_no_address(node: Node, waiting: GameServer) -> None:
    late = Late(lambda: leases.serve_queue(node), "leases.after_lease")
    wait_for_transaction()
    threading.Timer(0.3, late.wake).start()

    delete_now(waiting)
    late.end()

    assert leased() == []
    assert not AddressRequest.objects.exists()


def test_late_worker_leases_nothing_for_a_deleted_server(node: Node, waiting: GameServer) -> None:
    AddressRequest.objects.all().delete()
    late = late_reconcile(waiting, "reconcile.before_inspect")

    delete_now(waiting)
    late.end()

    assert leased() == []
    assert not AddressRequest.objects.exists()


def test_late_worker_moves_no_address_of_a_deleted_server(node: Node, engine: FakeEngine, games: Games) -> None:
    server = make_server(node=node)
    taken = Address.objects.held_by(server.pk).get()
    engine.state.occupied.add((str(taken.ip), taken.port))
    late = late_reconcile(server, "reconcile.before_inspect")

    delete_now(server)
    late.end()

    assert leased() == []
    assert not AddressRequest.objects.exists()


@pytest.fixture
def house() -> Iterator[House]:
    with open_house() as house:
        yield house


def test_late_launch_of_a_deleted_server_is_undone_with_its_data(house: House) -> None:
    server = house.create()
    late = late_reconcile(server, "reconcile.before_ensure")

    delete_now(server)
    late.end()
    assert len(house.programs(server)) == 1
    recover(house)

    assert lasting_complaints(house) == []


def test_late_launch_of_a_stopped_server_is_ended(house: House) -> None:
    server = house.create()
    late = late_reconcile(server, "reconcile.before_ensure")

    stop_server(server, actor=server.owner)
    work(house.node, house.is_settled)
    late.end()
    recover(house)

    assert lasting_complaints(house) == []


def test_two_workers_at_the_same_launch_start_one_program(house: House) -> None:
    server = house.create()
    late = late_reconcile(server, "reconcile.before_ensure")

    work(house.node, house.is_settled)
    late.end()
    recover(house)

    assert lasting_complaints(house) == []
    assert len(house.programs(server)) == 1
