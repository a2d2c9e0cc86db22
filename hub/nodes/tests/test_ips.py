"""Load-balancer addresses and subnets: one IP for each team, ports on it, rest, and a line that nobody overtakes."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from hub.engines.base import EngineError, Reason
from hub.engines.fake import FakeEngine
from hub.nodes import ips, leases
from hub.nodes.choices import AddressState, PoolKind
from hub.nodes.models import Address, AddressPool, Node
from hub.nodes.sweep import sweep
from hub.nodes.workloads import PortRequest, bindings

from .factories import NodeFactory, PoolFactory

LB = PoolKind.LOAD_BALANCER


def lb_pool(size: int, node: Node | None = None, **values: object) -> AddressPool:
    last = f"192.168.250.{99 + size}"
    return PoolFactory(
        node=node or NodeFactory(), kind=LB, first_ip="192.168.250.100", last_ip=last, first_port=None, last_port=None,
        **values,
    )  # fmt: skip


def web(lessee: uuid.UUID | None = None, number: int = 80) -> list[PortRequest]:
    return [PortRequest("web", kind=LB, number=number, lessee=lessee)]


def lease(node: Node, wanted: list[PortRequest], holder: uuid.UUID | None = None) -> list[str] | None:
    with transaction.atomic():
        leased = leases.lease_ports(node=node, holder=holder or uuid.uuid4(), wanted=wanted)
    return None if leased is None else [f"{one.ip}:{one.port}" for one in leased]


class Waiting:
    """The part of a workload that the queue needs."""

    kind = "instance"

    def __init__(self, node: Node, wanted: list[PortRequest]) -> None:
        self.node = node
        self.pk = uuid.uuid4()
        leases.queue_for_ports(self, wanted)  # type: ignore[arg-type]  # stands in for a workload


@pytest.mark.django_db
def test_team_has_one_address_with_ports_that_do_not_meet() -> None:
    node = lb_pool(3).node
    team, other = uuid.uuid4(), uuid.uuid4()

    first, second, third = lease(node, web(team)), lease(node, web(team)), lease(node, web(other))

    assert first == ["192.168.250.100:80"]
    assert second == ["192.168.250.100:20000"]
    assert third == ["192.168.250.101:80"]


@pytest.mark.django_db
def test_instance_with_an_address_of_its_own_holds_it() -> None:
    node = lb_pool(2).node
    holder = uuid.uuid4()

    assert lease(node, [*web(), PortRequest("ssh", kind=LB, number=22)], holder) == [
        "192.168.250.100:80",
        "192.168.250.100:22",
    ]
    held = list(Address.objects.held_by(holder).select_related("pool"))
    assert {row.port for row in held} == {None, 80, 22}
    assert sorted(binding.port for binding in bindings(held)) == [22, 80], "the address itself is no port"


@pytest.mark.django_db
def test_address_rests_five_minutes_once_its_last_port_is_given_up() -> None:
    node = lb_pool(1).node
    team, first, second = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    lease(node, web(team), first)
    lease(node, web(team), second)

    leases.release(first)
    in_between = ips.ip_of(node, team)
    leases.release(second)

    address = Address.objects.get()
    assert in_between is not None
    assert (address.state, address.holder) == (AddressState.QUARANTINED, None)
    assert timedelta(seconds=290) < address.rest_until - timezone.now() <= timedelta(seconds=300)


@pytest.mark.django_db
def test_full_pool_makes_a_line_that_no_newcomer_overtakes() -> None:
    node = lb_pool(1, quarantine_seconds=0).node
    holder = uuid.uuid4()
    lease(node, web(), holder)
    line = [Waiting(node, web(uuid.uuid4())) for _ in range(3)]

    leases.release(holder)
    leases.end_quarantines(node)
    newcomer = lease(node, web(uuid.uuid4()))
    served = leases.serve_queue(node)

    assert newcomer is None
    assert served == [("instance", line[0].pk)]
    assert [leases.place_in_queue(waiting.pk) for waiting in line] == [None, 1, 2]


@pytest.mark.django_db
def test_team_that_has_its_address_waits_for_nobody() -> None:
    node = lb_pool(1).node
    team = uuid.uuid4()
    lease(node, web(team))
    stranger = Waiting(node, web(uuid.uuid4()))
    late = Waiting(node, web(team))

    assert lease(node, web(team)) == ["192.168.250.100:20000"]
    assert leases.serve_queue(node) == [("instance", late.pk)]
    assert leases.place_in_queue(stranger.pk) == 1


@pytest.mark.django_db
def test_line_for_addresses_does_not_hold_up_the_line_for_ports() -> None:
    node = lb_pool(1).node
    PoolFactory(node=node, size=1)
    lease(node, web())
    Waiting(node, web(uuid.uuid4()))
    server = Waiting(node, [PortRequest("game")])

    assert leases.place_in_queue(server.pk) == 1
    assert leases.serve_queue(node) == [("instance", server.pk)]


@pytest.mark.django_db
def test_subnet_is_leased_with_the_ports_or_not_at_all() -> None:
    node = lb_pool(3).node
    PoolFactory(
        node=node, kind=PoolKind.SUBNETS, first_ip="10.210.0.0", last_ip="10.210.0.8", prefix_length=29,
        first_port=None, last_port=None,
    )  # fmt: skip
    both = [*web(), PortRequest("network", is_public=False, kind=PoolKind.SUBNETS)]

    leased = [lease(node, both) for _ in range(3)]

    assert leased == [
        ["192.168.250.100:80", "10.210.0.0:0"],
        ["192.168.250.101:80", "10.210.0.8:0"],
        None,
    ]
    assert ips.whole(node).filter(state=AddressState.FREE).count() == 1, "what it could not use it has given back"
    assert Address.objects.filter(port__isnull=False).count() == 2


@pytest.mark.django_db
def test_port_that_something_else_uses_is_left_out_until_the_address_rests() -> None:
    node = lb_pool(1, quarantine_seconds=0).node
    holder, team = uuid.uuid4(), uuid.uuid4()
    lease(node, web(team), holder)
    leases.block(Address.objects.get(port=80), reason="sshd has it")

    moved = lease(node, web(team), holder)
    leases.release(holder)
    leases.end_quarantines(node)

    assert moved == ["192.168.250.100:20000"]
    assert lease(node, web()) == ["192.168.250.100:80"]


@pytest.mark.django_db(transaction=True)
def test_sixty_teams_on_thirty_one_addresses_none_doubled_and_the_rest_in_line() -> None:
    node = lb_pool(31, quarantine_seconds=0).node
    barrier = threading.Barrier(12)
    teams = [uuid.uuid4() for _ in range(60)]

    def launch(number: int) -> list[str | None]:
        try:
            barrier.wait(60)
            return [launch_for(team) for team in teams[number::12]]
        finally:
            connection.close()

    def launch_for(team: uuid.UUID) -> str | None:
        leased = lease(node, web(team), team)
        if leased is None:
            Waiting(node, web(team))
        return leased[0] if leased else None

    with ThreadPoolExecutor(12) as pool:
        answers = [answer for part in pool.map(launch, range(12)) for answer in part]

    given = [answer for answer in answers if answer]
    assert (len(given), len(set(given))) == (31, 31)
    assert ips.count(node) == {"free": 0, "leased": 31, "quarantined": 0, "blocked": 0, "waiting": 29}
    assert leases.serve_queue(node) == []


@pytest.mark.django_db(transaction=True)
def test_two_launches_of_a_team_at_once_share_one_address() -> None:
    node = lb_pool(10).node
    team, barrier = uuid.uuid4(), threading.Barrier(6)

    def launch(_: int) -> str:
        try:
            barrier.wait(60)
            return (lease(node, web(team)) or [""])[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(launch, range(6)))

    assert len(set(answers)) == 6
    assert {answer.partition(":")[0] for answer in answers} == {"192.168.250.100"}


@pytest.mark.django_db
def test_sweep_has_the_node_answer_for_its_addresses_and_says_when_it_cannot() -> None:
    node = lb_pool(2).node
    engine = FakeEngine(node=node.name, options={})

    sweep(node, engine=engine)
    held = set(engine.state.held_ips)
    engine.fail("hold_addresses", EngineError("No program ip here.", reason=Reason.UNAVAILABLE))
    sweep(node, engine=engine)

    assert held == {"192.168.250.100", "192.168.250.101"}
    node.refresh_from_db()
    assert node.engine_error == "No program ip here."
    FakeEngine.reset()
