"""Leases: distinct under races, in order, rested, never doubled."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from hub.exceptions import Conflict, Invalid
from hub.nodes import leases
from hub.nodes.choices import AddressState, PoolKind
from hub.nodes.models import Address, AddressPool, AddressRequest, Node
from hub.nodes.workloads import PortRequest

from .factories import NodeFactory, PoolFactory

GAME = [PortRequest("game")]


def lease(node: Node, wanted: list[PortRequest] = GAME, holder: uuid.UUID | None = None) -> list[int] | None:
    with transaction.atomic():
        leased = leases.lease_ports(node=node, holder=holder or uuid.uuid4(), wanted=wanted)
    return None if leased is None else [address.id for address in leased]


class Waiting:
    """The part of a workload that the queue needs."""

    kind = "server"

    def __init__(self, node: Node) -> None:
        self.node = node
        self.pk = uuid.uuid4()


def wait_in_line(node: Node, wanted: list[PortRequest] = GAME) -> Waiting:
    waiting = Waiting(node)
    leases.queue_for_ports(waiting, wanted)  # type: ignore[arg-type]  # stands in for a workload
    return waiting


@pytest.fixture
def in_threads() -> Callable[..., list[Any]]:
    """Run a function in many threads at once, each with its own connection."""

    def run(function: Callable[[int], Any], count: int) -> list[Any]:
        barrier = threading.Barrier(count)

        def work(number: int) -> Any:
            try:
                barrier.wait(60)
                return function(number)
            finally:
                connection.close()

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(work, range(count)))

    return run


@pytest.mark.django_db
def test_lease_takes_the_lowest_port_first() -> None:
    pool = PoolFactory()

    ids = lease(pool.node) or []

    assert [Address.objects.get(pk=pk).port for pk in ids] == [25565]


@pytest.mark.django_db
def test_lease_of_several_ports_is_all_or_nothing() -> None:
    pool = PoolFactory(size=1)

    assert lease(pool.node, [PortRequest("game"), PortRequest("query")]) is None
    assert Address.objects.get().state == AddressState.FREE


@pytest.mark.django_db
def test_lease_without_private_pool_gives_the_public_port_back() -> None:
    pool = PoolFactory(size=2)

    assert lease(pool.node, [PortRequest("game"), PortRequest("rcon", is_public=False)]) is None
    assert not Address.objects.filter(state=AddressState.LEASED).exists()


@pytest.mark.django_db
def test_lease_takes_private_ports_from_private_pools_only() -> None:
    pool = PoolFactory(size=2)
    PoolFactory(node=pool.node, is_public=False, first_port=26001, size=2)
    holder = uuid.uuid4()

    lease(pool.node, [PortRequest("game"), PortRequest("rcon", is_public=False)], holder)

    assert dict(Address.objects.held_by(holder).values_list("port_name", "port")) == {"game": 25565, "rcon": 26001}


@pytest.mark.django_db
def test_lease_skips_disabled_pools() -> None:
    pool = PoolFactory(is_enabled=False)

    assert lease(pool.node) is None


@pytest.mark.django_db
def test_release_sends_addresses_into_quarantine_until_they_have_rested() -> None:
    pool = PoolFactory(size=1, quarantine_seconds=60)
    holder = uuid.uuid4()
    lease(pool.node, holder=holder)

    leases.release(holder)
    early = (leases.end_quarantines(pool.node), lease(pool.node))
    Address.objects.update(rest_until=timezone.now() - timedelta(seconds=1))
    late = (leases.end_quarantines(pool.node), lease(pool.node))

    assert early == (0, None)
    assert late[0] == 1
    assert late[1] is not None


@pytest.mark.django_db
def test_the_address_released_first_is_leased_first_after_those_never_used() -> None:
    pool = PoolFactory(size=3, quarantine_seconds=0)
    first, second = uuid.uuid4(), uuid.uuid4()
    lease(pool.node, holder=first)
    lease(pool.node, holder=second)
    Address.objects.filter(holder=second).update(state="free", holder=None, released_at=timezone.now() - timedelta(1))
    Address.objects.filter(holder=first).update(state="free", holder=None, released_at=timezone.now())

    ports = [Address.objects.get(pk=(lease(pool.node) or [0])[0]).port for _ in range(3)]

    assert ports == [25567, 25566, 25565]


@pytest.mark.django_db
def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    pool = PoolFactory(size=1)
    waiting = wait_in_line(pool.node)

    newcomer = lease(pool.node)
    served = leases.serve_queue(pool.node)

    assert newcomer is None
    assert served == [("server", waiting.pk)]


@pytest.mark.django_db
def test_queue_is_served_in_order_and_places_move_up() -> None:
    pool = PoolFactory(size=1, quarantine_seconds=0)
    holder = uuid.uuid4()
    lease(pool.node, holder=holder)
    line = [wait_in_line(pool.node) for _ in range(3)]
    places = [leases.place_in_queue(waiting.pk) for waiting in line]

    leases.release(holder)
    leases.end_quarantines(pool.node)
    served = leases.serve_queue(pool.node)

    assert places == [1, 2, 3]
    assert served == [("server", line[0].pk)]
    assert [leases.place_in_queue(waiting.pk) for waiting in line] == [None, 1, 2]


@pytest.mark.django_db
def test_queueing_twice_keeps_the_first_place() -> None:
    pool = PoolFactory(size=1)
    waiting = wait_in_line(pool.node)
    wait_in_line(pool.node)

    leases.queue_for_ports(waiting, GAME)  # type: ignore[arg-type]  # stands in for a workload

    assert leases.place_in_queue(waiting.pk) == 1
    assert AddressRequest.objects.count() == 2


@pytest.mark.django_db
def test_replace_blocked_blocks_with_the_reason_and_leases_another() -> None:
    pool = PoolFactory(size=2)
    waiting = Waiting(pool.node)
    lease(pool.node, holder=waiting.pk)
    address = Address.objects.held_by(waiting.pk).get()

    moved = leases.replace_blocked(waiting, address, reason="taken by sshd")  # type: ignore[arg-type]

    address.refresh_from_db()
    assert moved
    assert (address.state, address.reason) == (AddressState.BLOCKED, "taken by sshd")
    assert Address.objects.held_by(waiting.pk).get().port == 25566


@pytest.mark.django_db
def test_l54_rcon_port_is_never_in_the_game_pool() -> None:
    pool = PoolFactory(size=436, excluded_ports=[25575])

    ports = set(pool.addresses.values_list("port", flat=True))

    assert len(ports) == 435
    assert 25575 not in ports


@pytest.mark.django_db
def test_overlapping_pools_are_refused() -> None:
    pool = PoolFactory()
    other = AddressPool.objects.create(
        node=pool.node, name="other", first_ip="127.0.0.1", first_port=25570, last_port=25580
    )

    with pytest.raises(Conflict, match="another pool"):
        leases.fill_pool(other)


@pytest.mark.django_db
def test_load_balancer_pool_has_one_row_per_ip() -> None:
    pool = AddressPool.objects.create(
        node=NodeFactory(),
        name="lb",
        kind=PoolKind.LOAD_BALANCER,
        first_ip="192.168.250.100",
        last_ip="192.168.250.130",
    )

    assert leases.fill_pool(pool) == 31


@pytest.mark.django_db
def test_subnet_pool_has_one_row_per_subnet() -> None:
    pool = AddressPool.objects.create(
        node=NodeFactory(),
        name="nets",
        kind=PoolKind.SUBNETS,
        first_ip="10.213.0.0",
        last_ip="10.213.0.255",
        prefix_length=29,
    )

    leases.fill_pool(pool)

    assert list(pool.addresses.order_by("id").values_list("ip", flat=True)[:2]) == ["10.213.0.0", "10.213.0.8"]


@pytest.mark.django_db
def test_pool_of_unreasonable_size_is_refused() -> None:
    pool = AddressPool(
        node=NodeFactory(), name="huge", kind=PoolKind.LOAD_BALANCER, first_ip="10.0.0.0", last_ip="10.255.255.255"
    )

    with pytest.raises(Invalid, match="at most"):
        leases.fill_pool(pool)


@pytest.mark.django_db
def test_database_refuses_a_leased_row_without_holder() -> None:
    pool = PoolFactory()

    with pytest.raises(IntegrityError), transaction.atomic():
        pool.addresses.update(state=AddressState.LEASED)


@pytest.mark.django_db(transaction=True)
def test_64_at_once_in_a_pool_of_50_get_50_distinct_ports_and_14_refusals(in_threads: Any) -> None:
    pool = PoolFactory(size=50)
    node = Node.objects.get(pk=pool.node.pk)

    answers = in_threads(lambda _: lease(node), 64)

    taken = [pk for ids in answers if ids for pk in ids]
    assert len(taken) == len(set(taken)) == 50
    assert answers.count(None) == 14


@pytest.mark.django_db(transaction=True)
def test_says_full_only_after_waiting_for_a_lease_that_is_given_up(in_threads: Any) -> None:
    pool = PoolFactory(size=1)
    taken, give_up = threading.Event(), threading.Event()

    def give_up_after_a_while(_: int) -> None:
        with transaction.atomic():
            leases.lease_ports(node=pool.node, holder=uuid.uuid4(), wanted=GAME)
            taken.set()
            give_up.wait(60)
            transaction.set_rollback(True)

    def second(number: int) -> Any:
        if number == 0:
            return give_up_after_a_while(0)
        taken.wait(60)
        threading.Timer(0.3, give_up.set).start()
        return lease(pool.node)

    answers = in_threads(second, 2)

    assert answers[1] is not None


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_no_deadlock_and_no_loss_in_10_000_mixed_operations(in_threads: Any) -> None:
    node = PoolFactory(size=20, quarantine_seconds=0).node
    PoolFactory(node=node, is_public=False, first_port=26001, size=20, quarantine_seconds=0)

    def client(number: int) -> int:
        held: list[uuid.UUID] = []
        for turn in range(1667):
            move = (turn * 7 + number * 13) % 5
            if move < 2:
                holder = uuid.uuid4()
                wanted = [PortRequest("game"), PortRequest("rcon", is_public=False)][: 1 + turn % 2]
                if lease(node, wanted, holder) is not None:
                    held.append(holder)
            elif move < 4 and held:
                with transaction.atomic():
                    leases.release(held.pop(turn % len(held)))
            elif move == 4:
                leases.end_quarantines(node)
                leases.serve_queue(node)
        for holder in held:
            leases.release(holder)
        return len(held)

    in_threads(client, 6)  # and this thread: no more connections than the pool has
    leases.end_quarantines(node)

    assert Address.objects.filter(state=AddressState.FREE).count() == 40
