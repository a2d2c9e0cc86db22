"""What nodes tell Prometheus: addresses by state, beats of agents, and what became of operations and tasks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import connection
from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily, Metric

from hub import metering, own_figures, tallies
from hub.jobs import node_queue

from .choices import AddressState, PoolKind
from .models import AddressPool, Node
from .placement import RESOURCES
from .workloads import reserved_on


def count_operations(after: datetime, until: datetime | None) -> Iterator[tallies.Row]:
    """Operations that ended in this time, with how long they took from the click."""
    seconds = "extract(epoch FROM operation.finished_at - operation.created_at)"
    sql = f"""
        SELECT coalesce(node.name, ''), workload_kind, verb, status, count(*), {own_figures.buckets_sql(seconds)}
        FROM nodes_operation operation LEFT JOIN nodes_node node ON node.id = operation.node_id
        WHERE finished_at > %s AND finished_at <= coalesce(%s, 'infinity'::timestamptz) GROUP BY 1, 2, 3, 4
    """  # noqa: S608 - the columns are constants
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, until])
        for node, kind, verb, outcome, number, *columns in cursor.fetchall():
            yield "jobs", {"queue": node_queue(node), "job": f"{kind}.{verb}", "outcome": outcome}, number
            labels = {"node": node, "kind": kind, "verb": verb, "outcome": outcome}
            yield from own_figures.bucket_rows("operation_seconds", labels, number, columns)


def count_tasks(after: datetime, until: datetime | None) -> Iterator[tallies.Row]:
    """Tasks of nodes that ended in this time."""
    sql = """
        SELECT node.name, verb, status, count(*) FROM nodes_nodetask task JOIN nodes_node node ON node.id = task.node_id
        WHERE finished_at > %s AND finished_at <= coalesce(%s, 'infinity'::timestamptz) GROUP BY 1, 2, 3
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [after, until])
        for node, verb, outcome, number in cursor.fetchall():
            yield "jobs", {"queue": node_queue(node), "job": f"node.{verb}", "outcome": outcome}, number


def collect_nodes() -> Iterator[Metric]:
    """Whether each node's agent is heard of and its engine answers."""
    up = GaugeMetricFamily("agent_up", "Whether the agent was heard of within a minute.", labels=["node"])
    seen = GaugeMetricFamily("agent_seen_timestamp_seconds", "When the agent was last heard of.", labels=["node"])
    engine = GaugeMetricFamily("engine_up", "Whether the node's engine answers.", labels=["node", "engine"])
    for node in Node.objects.filter(is_enabled=True):
        up.add_metric([node.name], node.is_agent_alive)
        engine.add_metric([node.name, node.engine], node.is_agent_alive and not node.engine_error)
        if node.agent_seen_at:
            seen.add_metric([node.name], node.agent_seen_at.timestamp())
    yield from (up, seen, engine)


def collect_addresses() -> Iterator[Metric]:
    """How full the pools are. `allocated_ports` and `available_ports` are the ports that people are given."""
    allocated = GaugeMetricFamily("allocated_ports", "Public ports that are leased.", labels=["node", "pool"])
    available = GaugeMetricFamily("available_ports", "Public ports that can be leased now.", labels=["node", "pool"])
    addresses = GaugeMetricFamily("pool_addresses", "Addresses by state.", labels=["node", "pool", "kind", "state"])
    pools = AddressPool.objects.select_related("node")
    states = {(pool.pk, state): 0 for pool in pools for state in AddressState.values}
    rows = AddressPool.objects.order_by().values_list("pk", "addresses__state").annotate(number=Count("addresses"))
    states |= {(pool, state): number for pool, state, number in rows if state}
    for pool in pools:
        for state in AddressState.values:
            addresses.add_metric([pool.node.name, pool.name, pool.kind, state], states[pool.pk, state])
        if pool.kind == PoolKind.HOST_PORTS and pool.is_public:
            allocated.add_metric([pool.node.name, pool.name], states[pool.pk, AddressState.LEASED])
            available.add_metric([pool.node.name, pool.name], states[pool.pk, AddressState.FREE])
    yield from (allocated, available, addresses)


def collect_room() -> Iterator[Metric]:
    """What nodes may promise and have promised to workloads, of what the hub limits there."""
    room = GaugeMetricFamily("node_capacity", "What may be promised, in the unit named.", labels=["node", "resource"])
    promised = GaugeMetricFamily("node_promised", "What is promised, in the unit named.", labels=["node", "resource"])
    for node in Node.objects.filter(is_enabled=True):
        limits = {resource: limit for resource in RESOURCES if (limit := node.capacity(resource))}
        taken = reserved_on(node) if limits else {}
        for resource, limit in limits.items():
            room.add_metric([node.name, resource], limit)
            promised.add_metric([node.name, resource], taken[resource])
    yield from (room, promised)


def register() -> None:
    """Tell of nodes; called once by the app config."""
    tallies.register("operations", count_operations)
    tallies.register("tasks", count_tasks)
    metering.register("nodes", collect_nodes)
    metering.register("addresses", collect_addresses)
    metering.register("room", collect_room)
