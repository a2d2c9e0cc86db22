"""Take, queue for and give back addresses.

A lease is one statement that takes the first rested free rows with FOR UPDATE SKIP LOCKED, so its cost does not
depend on how many addresses there are or how many are taken. Before it says "full" it looks once more without
skipping, behind a lock on the pools, so that rows which another transaction is about to give up are waited for.

Whoever finds a pool full gets a place in a queue (`AddressRequest`), served strictly in order; a newcomer takes nothing
while somebody waits. Public addresses are always taken before private ones, so two transactions never wait for each
other.

Released addresses rest before the next lease; the one released first is taken first.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from hub.exceptions import Conflict, Invalid
from hub.failpoints import declare, failpoint
from hub.postgres.prepared import prepared_cursor

from . import ips
from .choices import AddressState, PoolKind
from .models import Address, AddressPool, AddressRequest, Node

if TYPE_CHECKING:
    from .workloads import PortRequest, Workload

MAX_POOL_SIZE = 100_000
declare("leases.after_lease", "leases.after_release")

SECOND_LOOKS = 3

_LEASE = """
    WITH picked AS MATERIALIZED (
        SELECT a.id FROM nodes_addresspool p CROSS JOIN LATERAL (
            SELECT id FROM nodes_address
            WHERE pool_id = p.id AND state = 'free'
            ORDER BY released_at NULLS FIRST, id
            LIMIT {count} FOR UPDATE {skip}
        ) a
        WHERE p.node_id = %(node)s AND p.kind = 'host_ports' AND p.is_public = %(public)s AND p.is_enabled
          AND (%(overtake)s OR NOT EXISTS (
            SELECT 1 FROM nodes_addressrequest r
            WHERE r.node_id = %(node)s AND r.pool_kind = 'host_ports' AND r.is_public = %(public)s
          ))
        LIMIT {count}
    ), numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM picked)
    UPDATE nodes_address SET state = 'leased', holder = %(holder)s, port_name = (%(names)s::text[])[n],
        leased_at = now(), proven_at = NULL, released_at = NULL, rest_until = NULL, reason = ''
    FROM numbered WHERE nodes_address.id = numbered.id AND (SELECT count(*) FROM numbered) = {count}
    RETURNING nodes_address.id, port_name, host(ip), port
"""

_BLOCK_IP = """
    UPDATE nodes_address SET state = 'blocked', rest_until = NULL, released_at = now(), reason = %(reason)s
    WHERE id IN (
        SELECT a.id FROM nodes_address a JOIN nodes_addresspool p ON p.id = a.pool_id
        WHERE a.node_id = %(node)s AND a.ip = %(ip)s AND p.kind = 'host_ports' AND a.state IN ('free', 'quarantined')
        FOR UPDATE OF a SKIP LOCKED
    )
"""

Row = tuple[int, str, str, int]  # the first four of `Leased`


class Leased(NamedTuple):
    """An address that has just been leased."""

    id: int
    name: str
    ip: str
    port: int
    is_public: bool


def lease_ports(
    *, node: Node, holder: uuid.UUID, wanted: Sequence[PortRequest], overtake: bool = False
) -> list[Leased] | None:
    """Lease all wanted ports or none: public ones first, or None when there are not enough. Must run in a transaction.

    `overtake` is for whoever stands first in the queue.
    """
    leased: list[Leased] = []
    for is_public in (True, False):
        names = [port.name for port in wanted if port.is_public == is_public and port.kind == PoolKind.HOST_PORTS]
        rows = _take(node, holder, names, is_public, overtake) if names else []
        if len(rows) < len(names):
            _give_back(leased)
            return None
        leased += [Leased(*row, is_public) for row in sorted(rows)]
    if whole := [port for port in wanted if port.kind != PoolKind.HOST_PORTS]:
        found = ips.lease(node=node, holder=holder, wanted=whole, overtake=overtake)
        if found is None:
            _give_back(leased)
            return None
        leased += [Leased(*row) for row in found]
    failpoint("leases.after_lease")
    return leased


def _give_back(leased: Sequence[Leased]) -> None:
    """Nobody has seen these yet, so they need no rest."""
    Address.objects.filter(pk__in=[address.id for address in leased]).update(
        state=AddressState.FREE, holder=None, port_name=""
    )


def _take(node: Node, holder: uuid.UUID, names: list[str], is_public: bool, overtake: bool) -> list[Row]:
    params = {
        "node": node.pk,
        "public": is_public,
        "holder": holder,
        "names": names,
        "overtake": overtake,
    }
    rows = _pick(params, len(names), skip=True)
    looks = 0
    while len(rows) < len(names) and looks < SECOND_LOOKS and _might_have(node, len(names), is_public, overtake):
        list(_pools(node, is_public).select_for_update(no_key=True).order_by("id"))
        rows = _pick(params, len(names), skip=False)
        looks += 1
    return rows


def _pick(params: dict[str, Any], count: int, *, skip: bool) -> list[Row]:
    # The number stands in the text: planned for any number, the statement would look dearer than planning it anew.
    sql = _LEASE.format(skip="SKIP LOCKED" if skip else "", count=count)
    with prepared_cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _pools(node: Node, is_public: bool) -> QuerySet[AddressPool]:
    return AddressPool.objects.filter(node=node, kind=PoolKind.HOST_PORTS, is_public=is_public, is_enabled=True)


def _might_have(node: Node, count: int, is_public: bool, overtake: bool) -> bool:
    waiting = AddressRequest.objects.filter(node=node, pool_kind=PoolKind.HOST_PORTS, is_public=is_public)
    if not overtake and waiting.exists():
        return False
    free = Address.objects.filter(pool__in=_pools(node, is_public), state=AddressState.FREE)
    return free[:count].count() == count


def queue_for_ports(workload: Workload, wanted: Sequence[PortRequest]) -> None:
    """Take a place in the queue for every wanted port; a place already held is kept."""
    AddressRequest.objects.bulk_create(
        [
            AddressRequest(
                node=workload.node,
                is_public=port.is_public,
                holder=workload.pk,
                holder_kind=workload.kind,
                port_name=port.name,
                pool_kind=port.kind,
                number=port.number,
                lessee=port.lessee,
            )
            for port in wanted
        ],
        ignore_conflicts=True,
    )


def can_ever_serve(node: Node, wanted: Sequence[PortRequest]) -> bool:
    """Whether the pools in use have that many ports at all; whoever waits for more would hold up all behind him.

    While no pool is in use all wait alike.
    """
    rows = {is_public: Address.objects.filter(pool__in=_pools(node, is_public)) for is_public in (True, False)}
    if not any(row.exists() for row in rows.values()):
        return True
    public = [port.is_public for port in wanted if port.kind == PoolKind.HOST_PORTS]
    counts = {is_public: public.count(is_public) for is_public in rows}
    return all(rows[is_public][:count].count() == count for is_public, count in counts.items())


def place_in_queue(holder: uuid.UUID) -> int | None:
    """How many holders wait before this one, plus one; None when it does not wait."""
    first = AddressRequest.objects.filter(holder=holder).order_by("id").first()
    if first is None:
        return None
    line = AddressRequest.objects.filter(node=first.node_id, pool_kind=first.pool_kind)
    ahead = line.filter(id__lt=first.pk).exclude(holder=holder)
    return ahead.values("holder").distinct().count() + 1


def waiting_reason(holder: uuid.UUID) -> str:
    """Say where a holder stands in the queue; "" when it does not wait."""
    place = place_in_queue(holder)
    return f"Waiting for a free address, place {place}." if place else ""


def count_waiting(node: Node, kind: str = PoolKind.HOST_PORTS) -> int:
    """How many holders wait for addresses of a node."""
    return AddressRequest.objects.filter(node=node, pool_kind=kind).values("holder").distinct().count()


def likely_address(node: Node, wanted: Sequence[PortRequest]) -> Address | None:
    """What the next lease of these ports would probably give to the first public one; nothing is reserved.

    None when it would not get all of them.
    """
    likely: list[Address] = []
    public = [port.is_public for port in wanted if port.kind == PoolKind.HOST_PORTS]
    for is_public in (True, False):
        count = public.count(is_public)
        free = Address.objects.filter(pool__in=_pools(node, is_public), state=AddressState.FREE)
        found = list(free.order_by(F("released_at").asc(nulls_first=True), "id")[:count]) if count else []
        if len(found) < count:
            return None
        likely += sorted(found, key=lambda address: address.pk)
    return next(iter(likely), None)


def serve_queue(node: Node) -> list[tuple[str, uuid.UUID]]:
    """Give free addresses to those who wait, in order; says whom (kind and id).

    The first who cannot be served ends it for his kind of pool.
    """
    served = []
    waiting = AddressRequest.objects.filter(node=node).order_by().values_list("pool_kind", flat=True).distinct()
    for kind in sorted(waiting):
        while (who := _serve_first(node, kind)) is not None:
            served.append(who)
    return served


def _serve_first(node: Node, kind: str) -> tuple[str, uuid.UUID] | None:
    from .workloads import PortRequest

    with transaction.atomic():
        Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        line = AddressRequest.objects.filter(node=node, pool_kind=kind).order_by("id")
        # Whoever waits for a port on an address that has come in meanwhile takes nothing from those before him.
        first = line.filter(lessee__in=ips.lessees(node)).first() or line.first()
        if first is None:
            return None
        # Locked, so that a holder who is deleted meanwhile waits, and then releases what is leased here.
        requests = AddressRequest.objects.filter(holder=first.holder).order_by("id")
        wanted = [
            PortRequest(row.port_name, row.is_public, row.pool_kind, row.number, row.lessee)
            for row in requests.select_for_update()
        ]
        if not wanted:
            return None
        if lease_ports(node=node, holder=first.holder, wanted=wanted, overtake=True) is None:
            return None
        requests.delete()
        return first.holder_kind, first.holder


def leave_queue(holder: uuid.UUID, *, but_for: Sequence[str] = ()) -> int:
    """Give up a holder's places in the queue, except those for the ports named; says how many.

    They are locked in the order of `_serve_first`, so that both cannot deadlock.
    """
    sql = """
        DELETE FROM nodes_addressrequest WHERE id IN (
            SELECT id FROM nodes_addressrequest WHERE holder = %s AND port_name <> ALL(%s::text[])
            ORDER BY id FOR UPDATE
        )
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [holder, list(but_for)])
        return cursor.rowcount


def release(holder: uuid.UUID, *, ids: Sequence[int] | None = None) -> int:
    """Send a holder's addresses (or those named) into quarantine and end its waiting; says how many."""
    leave_queue(holder)
    held = Address.objects.filter(holder=holder, state=AddressState.LEASED)
    if ids is not None:
        held = held.filter(pk__in=ids)
    else:
        let_go = ips.give_up_ports(holder)
        held = Address.objects.filter(Q(holder=holder) | Q(pk__in=let_go), state=AddressState.LEASED)
    released = 0
    for pool_id, seconds in {(a.pool_id, a.pool.rest_seconds) for a in held.select_related("pool")}:
        released += held.filter(pool=pool_id).update(
            state=AddressState.QUARANTINED,
            holder=None,
            port_name="",
            released_at=Now(),
            rest_until=Now() + timedelta(seconds=seconds),
            reason="Released; rests before the next lease.",
        )
    failpoint("leases.after_release")
    return released


def end_quarantines(node: Node) -> int:
    """Free the addresses of a node that have rested."""
    return Address.objects.filter(node=node).rested().update(state=AddressState.FREE, rest_until=None, reason="")


def block(address: Address, *, reason: str) -> None:
    """Take an address out of use, whoever holds it; the reason is for people."""
    Address.objects.filter(pk=address.pk).update(
        state=AddressState.BLOCKED, holder=None, port_name="", rest_until=None, released_at=Now(), reason=reason
    )


def _block_ip(address: Address, *, reason: str) -> None:
    """Take all ports of an IP that cannot be had out of use in one go; those that are leased are their holders'."""
    with connection.cursor() as cursor:
        cursor.execute(_BLOCK_IP, {"node": address.node_id, "ip": str(address.ip), "reason": reason})


def has_other_ip(address: Address) -> bool:
    """Whether a port like this one is free on another IP, so that it helps to take this one's out of use."""
    others = Address.objects.filter(pool__in=_pools(address.node, address.pool.is_public), state=AddressState.FREE)
    return others.exclude(ip=address.ip).exists()


def unblock(address: Address) -> bool:
    """Put a blocked address back into use; False when it is not blocked."""
    blocked = Address.objects.filter(pk=address.pk, state=AddressState.BLOCKED)
    return bool(blocked.update(state=AddressState.FREE, reason=""))


def replace_blocked(workload: Workload, address: Address, *, reason: str, is_whole: bool = False) -> bool:
    """Block a leased address that is in use by something else and lease another; False when the pool has no other.

    `is_whole` says that the IP itself cannot be had, and so no other port on it either. The caller holds the workload's
    row: then the address is still its own.
    """
    from .workloads import PortRequest

    wanted = [PortRequest(address.port_name, address.pool.is_public)]
    if address.pool.kind != PoolKind.HOST_PORTS:
        wanted = [port for port in workload.ports_wanted() if port.name == address.port_name]
    with transaction.atomic():
        is_ours = is_whole and address.pool.kind == PoolKind.LOAD_BALANCER
        if is_ours and ips.abandon(address, reason=reason):
            wanted = [port for port in workload.ports_wanted() if port.kind == PoolKind.LOAD_BALANCER]
        else:
            block(address, reason=reason)
            if is_whole and address.pool.kind == PoolKind.HOST_PORTS:
                _block_ip(address, reason=reason)
        if lease_ports(node=workload.node, holder=workload.pk, wanted=wanted, overtake=True):
            return True
        queue_for_ports(workload, wanted)
        return False


def fill_pool(pool: AddressPool) -> int:
    """Make the rows of a new pool; says how many.

    Raises Invalid (too large, bad range) or Conflict (overlaps another).
    """
    pool.full_clean(exclude=["node"])
    ports = _ports(pool)
    if sum(1 for _ in ips_of(pool)) * len(ports) > MAX_POOL_SIZE:
        raise Invalid(f"A pool may have at most {MAX_POOL_SIZE} addresses.", field="last_ip")
    rows = [Address(pool=pool, node_id=pool.node_id, ip=ip, port=port) for ip in ips_of(pool) for port in ports]
    if not rows:
        raise Invalid("The pool would be empty.", field="first_ip")
    try:
        with transaction.atomic():
            Address.objects.bulk_create(rows, batch_size=5000)
    except IntegrityError:
        raise Conflict("Some of these addresses belong to another pool of this node.", code="pool_overlap") from None
    return len(rows)


def _ports(pool: AddressPool) -> Sequence[int | None]:
    if pool.kind != PoolKind.HOST_PORTS:
        return [None]
    excluded = set(pool.excluded_ports)
    first, last = pool.first_port or 0, pool.last_port or 0
    return [port for port in range(first, last + 1) if port not in excluded]


def ips_of(pool: AddressPool) -> Iterator[str]:
    """The IPs (of a pool of subnets: their first ones) that a pool names. Raises Invalid for a range that is none."""
    first = ipaddress.ip_address(pool.first_ip)
    last = ipaddress.ip_address(pool.last_ip or pool.first_ip)
    if first.version != last.version or int(last) < int(first):
        raise Invalid("The last address must follow the first.", field="last_ip")
    step = (
        1 << (first.max_prefixlen - pool.prefix_length) if pool.kind == PoolKind.SUBNETS and pool.prefix_length else 1
    )
    if (int(last) - int(first)) // step >= MAX_POOL_SIZE:
        raise Invalid(f"A pool may have at most {MAX_POOL_SIZE} addresses.", field="last_ip")
    for number in range(int(first), int(last) + 1, step):
        yield str(type(first)(number))
