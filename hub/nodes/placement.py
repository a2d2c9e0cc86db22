"""Choose the node of a new workload: in the region asked for, with an engine that may run it, with room left,
least used first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from django.db.models import QuerySet

from hub.engines import capabilities_of
from hub.exceptions import Invalid, LimitReached
from hub.statements import Row, column_names, statement

from .models import Node, Region
from .workloads import hold, reserved_on

SAMPLE_REGION = -7_002
RESOURCES = ("memory_mb", "cpu_percent", "disk_mb")


def choose_node(
    *,
    region: Region,
    engines: Collection[str],
    demand: dict[str, int],
    needs_isolation: bool = False,
    accepts: Callable[[Node], bool] = lambda node: True,
) -> Node:
    """Lock and return the best node. Must run in a transaction, after the owner was locked.

    `accepts` is the caller's own condition. Nodes are tried from the least used, those without a working engine last;
    the first that still has room under its lock is taken, so two creations cannot overfill one. Raises Invalid when no
    node of the region could ever run it, LimitReached when all are full.
    """
    nodes = _accepting(region) if region.is_enabled else []
    suited = [node for node in nodes if _suits(node, engines, needs_isolation) and accepts(node)]
    if not suited:
        raise Invalid(f"No node in {region.name} can run this template.", field="region", code="no_node")
    for node in sorted(suited, key=_rank) if len(suited) > 1 else suited:
        if not shortage(node, demand, lock=True):
            node.region = region
            return node
    raise LimitReached(f"Every node in {region.name} is full.", field="region", code="region_full")


def _accepting(region: Region) -> list[Node]:
    """Those that take workloads; by a kept statement, because every creation asks."""
    kept = statement("nodes that accept", lambda pk: _all_of(Node.objects.accepting(), pk), SAMPLE_REGION)
    return [Node.from_db(kept.alias, column_names(Node), row) for row in kept.rows(region.pk)]


def _all_of(nodes: QuerySet[Node], region_id: int) -> QuerySet[Node, Row]:
    return nodes.filter(region_id=region_id).values_list(*column_names(Node))


def shortage(node: Node, demand: dict[str, int], *, already: dict[str, int] | None = None, lock: bool = False) -> str:
    """The demanded resource that would not fit ("" when all do).

    `already` is what the workload itself has on the node now. With `lock` the row is held. What was read of it a moment
    ago serves: a change of capacity counts from the next time on.
    """
    limits = {name: node.capacity(name) for name in RESOURCES if name in demand}
    if not any(limit is not None for limit in limits.values()):
        if lock:
            hold(node)
        return ""
    reserved = reserved_on(node, lock=lock)
    for name, limit in limits.items():
        if limit is not None and reserved[name] - (already or {}).get(name, 0) + demand[name] > limit:
            return name
    return ""


def _suits(node: Node, engines: Collection[str], needs_isolation: bool) -> bool:
    if node.engine not in engines:
        return False
    return capabilities_of(node.engine).isolates_strangers or not needs_isolation


def _rank(node: Node) -> tuple[bool, float]:
    """Those whose engine does not answer come last: what is launched there waits until it does."""
    return bool(node.engine_error), _load(node)


def _load(node: Node) -> float:
    reserved = reserved_on(node)
    return max((reserved[name] / limit for name in RESOURCES if (limit := node.capacity(name))), default=0.0)
