"""Leases: what Python costs over the same SQL, and whether a full pool is as fast as an empty one."""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Iterator
from functools import partial

from django.db import connection, connections, transaction

from hub.nodes import leases
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, AddressPool, Node, Region
from hub.nodes.workloads import PortRequest, hold

from .harness import Figure, benchmark, median_of
from .pgbench import captured, script, transactions_per_second

POOL_SIZE = 10_000
GAME = [PortRequest("game")]
ROUND_SECONDS = 2.0


def make_pool(size: int = POOL_SIZE) -> AddressPool:
    """A node of its own with one pool."""
    region, _ = Region.objects.get_or_create(slug="bench", name="Bench")
    node = Node.objects.create(name=f"bench-{uuid.uuid4().hex[:8]}", region=region, engine="fake")
    pool = AddressPool.objects.create(
        node=node, name="games", first_ip="127.0.0.1", first_port=10_000, last_port=10_000 + size - 1
    )
    leases.fill_pool(pool)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE nodes_address")
    return pool


def fill(pool: AddressPool, share: float) -> None:
    """Lease the lowest part of a pool and free the rest."""
    Address.objects.filter(pool=pool).update(state=AddressState.FREE, holder=None, released_at=None)
    border = 10_000 + int(POOL_SIZE * share)
    Address.objects.filter(pool=pool, port__lt=border).update(state=AddressState.LEASED, holder=uuid.uuid4())
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE nodes_address")


def lease_and_return(node: Node) -> None:
    """A lease in the transaction that a service runs it in: the node locked, the address taken, then given back."""
    holder = uuid.uuid4()
    with transaction.atomic():
        hold(node)
        taken = leases.lease_ports(node=node, holder=holder, wanted=GAME)
        if taken is None:
            raise RuntimeError("the pool of the benchmark is full")
        Address.objects.filter(holder=holder).update(state=AddressState.FREE, holder=None)


def _client(node_pk: int, seconds: float, result: multiprocessing.Queue[float]) -> None:
    node = Node.objects.get(pk=node_pk)
    lease_and_return(node)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        lease_and_return(node)
        done += 1
    result.put(done / (time.perf_counter() - start))


def by_processes(node: Node, clients: int) -> float:
    """Leases a second of several processes at once. A pool's threads do not survive a fork, so it is closed before."""
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # what the PostgreSQL backend has
    forks = multiprocessing.get_context("fork")
    result: multiprocessing.Queue[float] = forks.Queue()
    workers = [forks.Process(target=_client, args=(node.pk, ROUND_SECONDS, result)) for _ in range(clients)]
    for worker in workers:
        worker.start()
    total = sum(result.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return total


@benchmark
def lease_against_pgbench() -> Iterator[Figure]:
    """The same statements, once from the hub and once from pgbench, at 1 and 8 clients."""
    pool = make_pool()
    fill(pool, 0.01)
    with captured() as statements:
        lease_and_return(pool.node)
    text = script([statement for statement in statements if not statement.startswith(("BEGIN", "COMMIT"))])
    for clients in (1, 8):
        raw, _ = median_of(partial(transactions_per_second, text, clients=clients), 3)
        ours, spread = median_of(partial(by_processes, pool.node, clients), 3)
        yield Figure(
            f"lease in the service transaction, {clients} client{'s' if clients > 1 else ''}",
            ours,
            "tx/s",
            0.25,
            raw=raw,
            raw_name="same SQL by pgbench",
            at_least=True,
            spread=spread,
        )


@benchmark
def full_pool_against_empty() -> Iterator[Figure]:
    """10,000 rows, 99 % leased, against 1 %."""
    pool = make_pool()
    fill(pool, 0.01)
    empty, _ = median_of(lambda: by_processes(pool.node, 1), 3)
    fill(pool, 0.99)
    full, spread = median_of(lambda: by_processes(pool.node, 1), 3)
    yield Figure(
        "lease in a pool of 10,000, 99 % full",
        full,
        "tx/s",
        0.8,
        raw=empty,
        raw_name="1 % full",
        at_least=True,
        spread=spread,
    )
