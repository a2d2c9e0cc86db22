"""The ledger of load-balancer addresses: each with who has it, what rests, and who waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from challenges.models import Instance
from hub.nodes import ips
from hub.nodes.choices import PoolKind
from hub.nodes.models import Address, AddressRequest, Node


@dataclass(frozen=True)
class Line:
    """One address and those who use it."""

    address: Address
    instances: list[Instance]

    @property
    def team(self) -> str:
        return self.instances[0].team.name if self.instances else ""

    @property
    def instance_ids(self) -> list[UUID]:
        return [one.pk for one in self.instances]


@dataclass(frozen=True)
class Book:
    """The addresses of one node; `waiting` are in the order in which they are served."""

    node: Node
    counts: dict[str, int]
    lines: list[Line]
    waiting: list[Instance]

    @property
    def queue_ids(self) -> list[UUID]:
        return [one.pk for one in self.waiting]

    @property
    def facts(self) -> tuple[Any, ...]:
        """What changes its page, for its fingerprint."""
        shown = [
            (at.ip, at.state, at.reason, at.leased_at, at.rest_until, line.team, line.instance_ids)
            for line in self.lines
            for at in [line.address]
        ]
        return (self.node.name, self.counts, shown, self.queue_ids)


def books(user: Any) -> list[Book]:
    """One for each node that has such addresses and that the person may see."""
    nodes = Node.objects.visible_to(user).filter(pools__kind=PoolKind.LOAD_BALANCER).distinct().order_by("name")
    return [_book(node) for node in nodes]


def _book(node: Node) -> Book:
    live = {one.pk: one for one in Instance.objects.alive().filter(node=node).select_related("team", "challenge")}
    users: dict[str, list[Instance]] = {}
    ports = Address.objects.filter(node=node, pool__kind=PoolKind.LOAD_BALANCER, port__isnull=False, state="leased")
    for ip, holder in ports.order_by("id").values_list("ip", "holder"):
        found = live.get(holder) if holder else None
        if found is not None and found not in users.setdefault(ip, []):
            users[ip].append(found)
    lines = [Line(address, users.get(address.ip, [])) for address in ips.whole(node).order_by("id")]
    requests = AddressRequest.objects.filter(node=node, pool_kind=PoolKind.LOAD_BALANCER).order_by("id")
    waiting: dict[UUID, None] = dict.fromkeys(requests.values_list("holder", flat=True))
    return Book(node, ips.count(node), lines, [live[holder] for holder in waiting if holder in live])
