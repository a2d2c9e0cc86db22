"""What pages say about a node: its state, and how much of what it has is promised."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from hub.pages.states import Badge, badge
from hub.statements import statement

from .choices import LIVE, ObservedStatus
from .models import Node
from .workloads import workload_models

# The name and all that `node_badge` asks for, in the order of the model, as `from_db` wants it.
_BADGE_FIELDS = ("id", "name", "is_enabled", "is_draining", "agent_seen_at", "engine_error")
RESOURCES = (("memory_mb", "Memory"), ("cpu_percent", "Processor"), ("disk_mb", "Disk"))


@dataclass(frozen=True)
class Share:
    """How much of one resource is promised; `limit` is None when the hub does not count it."""

    key: str
    label: str
    used: int
    limit: int | None

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.used / self.limit)) if self.limit else 0


@dataclass(frozen=True)
class NodeFacts:
    """One node as pages show it."""

    node: Node
    badge: Badge
    shares: tuple[Share, ...]
    workloads: int
    live: int

    def __repr__(self) -> str:
        """What a page shows, for fingerprints."""
        seen = self.node.agent_seen_at
        return repr((self.node.pk, self.node.name, self.badge, self.shares, self.workloads, self.live, seen))

    def share(self, key: str) -> Share:
        return next(share for share in self.shares if share.key == key)

    @property
    def memory(self) -> Share:
        return self.share("memory_mb")

    @property
    def processor(self) -> Share:
        return self.share("cpu_percent")

    @property
    def disk(self) -> Share:
        return self.share("disk_mb")


def nodes_for_badges(key: Hashable, build: Callable[[], QuerySet[Node]]) -> list[Node]:
    """Nodes with only what `node_badge` asks for; by a kept statement, because many pages ask. See `hub.statements`."""
    kept = statement(("nodes for badges", key), lambda: build().values_list(*_BADGE_FIELDS))
    return [Node.from_db(kept.alias, _BADGE_FIELDS, row) for row in kept.rows()]


def node_badge(node: Node) -> Badge:
    """Whether a node works, and what to do when it does not."""
    if not node.is_enabled:
        return badge("node", "disabled", why="Takes no workloads and is not looked at.")
    if node.agent_seen_at is None:
        return badge("node", "new", why="Start its agent.")
    if not node.is_agent_alive:
        return badge("node", "silent", why="What it runs goes on; new wishes wait until it answers.")
    if node.engine_error:
        return badge("node", "engine_down", why=node.engine_error)
    if node.is_draining:
        return badge("node", "draining", why="Takes no new workloads.")
    return badge("node", "answering")


def node_facts(nodes: Iterable[Node]) -> list[NodeFacts]:
    """Facts of several nodes: one query for each kind of workload, however many nodes there are."""
    rows = list(nodes)
    totals: dict[int, dict[str, int]] = {node.pk: {} for node in rows}
    for model in workload_models():
        alive: Any = model._base_manager.filter(~Q(observed_status=ObservedStatus.DELETED), node__in=rows)
        sums = (
            alive.order_by()
            .values("node")
            .annotate(
                workloads=Count("pk"),
                live=Count("pk", filter=Q(observed_status__in=LIVE)),
                **{f"{key}_sum": Sum(key) for key, _ in RESOURCES},
            )
        )
        for row in sums:
            total = totals[row.pop("node")]
            for key, value in row.items():
                total[key] = total.get(key, 0) + (value or 0)
    return [_facts(node, totals[node.pk]) for node in rows]


def _facts(node: Node, total: dict[str, int]) -> NodeFacts:
    shares = tuple(Share(key, label, total.get(f"{key}_sum", 0), node.capacity(key)) for key, label in RESOURCES)
    return NodeFacts(node, node_badge(node), shares, total.get("workloads", 0), total.get("live", 0))
