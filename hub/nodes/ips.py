"""Addresses that are leased as a whole: load-balancer IPs with ports on them, and subnets.

An IP belongs to a lessee (a team, or one workload), and the ports on it are rows of their own, made with each lease and
deleted with its end: the IP rests, its ports need not. The last port that goes sends the IP to its rest. A lessee that
has an IP gets further ports on it without standing in line, because that takes nothing from anybody.

All that concerns one lessee happens under a lock of the transaction, so two launches of a team never lease two IPs.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from .choices import AddressState, PoolKind
from .models import Address, AddressRequest, Node

if TYPE_CHECKING:
    from .workloads import PortRequest

OTHER_PORTS = range(20_000, 30_000)
"""Where a port goes whose wished number is taken on its IP; outside the range of outgoing connections."""

_HOLD_LESSEE = "SELECT pg_advisory_xact_lock(8412, hashtext(%s))"
_TAKE = """
    UPDATE nodes_address SET state = 'leased', holder = %(holder)s, port_name = %(name)s, leased_at = now(),
        proven_at = NULL, released_at = NULL, rest_until = NULL, reason = ''
    WHERE id = (
        SELECT a.id FROM nodes_address a JOIN nodes_addresspool p ON p.id = a.pool_id
        WHERE p.node_id = %(node)s AND p.kind = %(kind)s AND p.is_enabled AND a.state = 'free' AND a.port IS NULL
          AND (%(overtake)s OR NOT EXISTS (
            SELECT 1 FROM nodes_addressrequest r WHERE r.node_id = %(node)s AND r.pool_kind = %(kind)s
          ))
        ORDER BY a.released_at NULLS FIRST, a.id LIMIT 1 FOR UPDATE OF a {skip}
    ) AND state = 'free'
    RETURNING id
"""
Row = tuple[int, str, str, int, bool]
"""Id, name, IP, port (0 for a subnet) and whether it is public, as `leases.Leased` takes it."""


def lease(*, node: Node, holder: uuid.UUID, wanted: Sequence[PortRequest], overtake: bool) -> list[Row] | None:
    """Lease all of these or none."""
    taken: list[Address] = []
    made: list[Address] = []
    for lessee in sorted({port.lessee or holder for port in wanted if port.kind == PoolKind.LOAD_BALANCER}):
        hold_lessee(lessee)
    for port in wanted:
        if port.kind == PoolKind.SUBNETS:
            found = _take(node, PoolKind.SUBNETS, holder, port.name, overtake)
        else:
            found = ip_of(node, port.lessee or holder)
            if found is None and (found := _take(node, PoolKind.LOAD_BALANCER, port.lessee or holder, "ip", overtake)):
                taken.append(found)
        if found is None:
            Address.objects.filter(pk__in=[row.pk for row in made if row.port is not None]).delete()
            Address.objects.filter(pk__in=[row.pk for row in taken]).update(
                state=AddressState.FREE, holder=None, port_name=""
            )
            return None
        if port.kind == PoolKind.SUBNETS:
            taken.append(found)
            made.append(found)
        else:
            made.append(_make_port(found, holder, port))
    return [(row.pk, row.port_name, str(row.ip), row.port or 0, row.pool.is_public) for row in made]


def hold_lessee(lessee: uuid.UUID) -> None:
    """Keep everybody else from changing what this lessee has, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD_LESSEE, [str(lessee)])


def ip_of(node: Node, lessee: uuid.UUID) -> Address | None:
    """The load-balancer address that a lessee has on a node."""
    return whole(node).filter(holder=lessee, state=AddressState.LEASED).select_related("pool").first()


def whole(node: Node) -> QuerySet[Address]:
    """The load-balancer addresses of a node, without ports on them."""
    return Address.objects.filter(node=node, pool__kind=PoolKind.LOAD_BALANCER, port=None)


def lessees(node: Node) -> Any:
    """Everybody who has a load-balancer address of the node, for a filter."""
    return whole(node).filter(state=AddressState.LEASED).values("holder")


def all_of(node: Node) -> list[str]:
    """The load-balancer addresses for which the node shall answer."""
    return [str(ip) for ip in whole(node).order_by("id").values_list("ip", flat=True)]


def count(node: Node) -> dict[str, int]:
    """How many load-balancer addresses are free, leased, quarantined and blocked, and how many holders wait."""
    states = list(whole(node).values_list("state", flat=True))
    waiting = AddressRequest.objects.filter(node=node, pool_kind=PoolKind.LOAD_BALANCER)
    return {
        **{state: states.count(state) for state in AddressState.values},
        "waiting": waiting.values("holder").distinct().count(),
    }


def give_up_ports(holder: uuid.UUID) -> Collection[int]:
    """Delete a holder's ports on load-balancer addresses; answers the addresses on which nobody has one any more."""
    mine = Q(holder=holder, pool__kind=PoolKind.LOAD_BALANCER, port__isnull=False)
    ports = list(Address.objects.filter(mine).values_list("pool_id", "ip"))
    if not ports:
        return []
    addresses = Address.objects.filter(port=None, state=AddressState.LEASED, pool__kind=PoolKind.LOAD_BALANCER)
    found = [one for one in addresses.filter(ip__in={ip for _, ip in ports}) if (one.pool_id, one.ip) in ports]
    for lessee in sorted({one.holder for one in found if one.holder}):
        hold_lessee(lessee)
    Address.objects.filter(mine).delete()
    empty = []
    for one in found:
        others = Address.objects.filter(pool=one.pool_id, ip=one.ip, port__isnull=False)
        if not others.filter(state=AddressState.LEASED).exists():
            others.delete()  # those that were blocked: whoever gets the address next tries them himself
            empty.append(one.pk)
    return empty


def abandon(address: Address, *, reason: str) -> bool:
    """Take the whole IP of a port out of use, with all ports on it; False when others than the port's holder are there.

    Trying one port after the other of an IP that cannot be had would never end.
    """
    on_it = Address.objects.filter(pool=address.pool_id, ip=address.ip, port__isnull=False)
    if on_it.filter(state=AddressState.LEASED).exclude(holder=address.holder).exists():
        return False
    found = whole(address.node).filter(pool=address.pool_id, ip=address.ip).first()
    if found is None:
        return False
    if found.holder is not None:
        hold_lessee(found.holder)
    on_it.delete()
    Address.objects.filter(pk=found.pk).update(
        state=AddressState.BLOCKED, holder=None, port_name="", rest_until=None, released_at=Now(), reason=reason
    )
    return True


def _take(node: Node, kind: str, holder: uuid.UUID, name: str, overtake: bool) -> Address | None:
    """The first rested free one; looks once more without skipping before it says that there is none."""
    values: dict[str, Any] = {"node": node.pk, "kind": kind, "holder": holder, "name": name, "overtake": overtake}
    with connection.cursor() as cursor:
        for skip in ("SKIP LOCKED", ""):
            cursor.execute(_TAKE.format(skip=skip), values)
            if row := cursor.fetchone():
                return Address.objects.select_related("pool").get(pk=row[0])
    return None


def _make_port(address: Address, holder: uuid.UUID, wanted: PortRequest) -> Address:
    """A row for a port on an IP: the number wished for, or the first of the others that is not taken."""
    taken = set(
        Address.objects.filter(node=address.node_id, ip=address.ip, port__isnull=False).values_list("port", flat=True)
    )
    number = wanted.number if wanted.number and wanted.number not in taken else None
    if number is None:
        number = next(port for port in OTHER_PORTS if port not in taken)
    row = Address(
        pool=address.pool,
        node_id=address.node_id,
        ip=address.ip,
        port=number,
        state=AddressState.LEASED,
        holder=holder,
        port_name=wanted.name,
        leased_at=address.leased_at,
    )
    row.save(force_insert=True)
    return row
