"""Places, panels and searches of nodes, pools and operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.pages import options, overview, palette, states
from hub.pages.navigation import Count, Place, register
from hub.pages.overview import Concern, Contribution, Panel, Total
from hub.statements import statement

from .facts import node_badge, nodes_for_badges
from .lists import find_node, find_operation, find_pool, find_region
from .models import AddressPool, Node, Region
from .workloads import operations_visible_to

LOW_POOL_PERCENT = 90
OPERATIONS_FOUND = 3


def _enabled_nodes(user: Any) -> list[Node]:
    """Asked once for a page that shows both the place's count and the overview: a user object lives for one request."""
    if not hasattr(user, "_enabled_nodes"):
        user._enabled_nodes = nodes_for_badges("enabled", lambda: Node.objects.filter(is_enabled=True))
    found: list[Node] = user._enabled_nodes
    return found


def _silent_nodes(user: Any) -> Count:
    tones = [node_badge(node).tone for node in _enabled_nodes(user)]
    return Count(sum(tone in ("bad", "warn") for tone in tones), "bad" if "bad" in tones else "warn")


register(
    Place(
        "Servers", "Operations", "nodes:operation_list", "list", lambda user: can(user, "operations.view"), position=80
    ),
    Place("Monitoring", "Nodes", "nodes:node_list", "globe", lambda user: can(user, "nodes.view"), _silent_nodes, 60),
    Place("Monitoring", "Address pools", "nodes:pool_list", "pin", lambda user: can(user, "pools.view"), position=70),
    Place(
        "Administration", "Regions", "nodes:region_list", "flag", lambda user: can(user, "regions.change"), position=40
    ),
)


def _overview(request: HttpRequest) -> Contribution:
    user: Any = request.user
    if not can(user, "nodes.view"):
        return Contribution()
    nodes = _enabled_nodes(user)
    badges = [(node, node_badge(node)) for node in nodes]
    answering = sum(node.is_agent_alive for node in nodes)
    concerns = [
        Concern(
            shown.tone,
            shown.shape,
            node.name,
            f"{shown.word}. {shown.why}".strip(),
            reverse("nodes:node_detail", args=[node.name]),
            node.agent_seen_at,
        )
        for node, shown in badges
        if shown.tone in ("bad", "warn") or node.agent_seen_at is None
    ]
    pools = [Pool(*row) for row in statement(("pools with counts", user.reach), lambda: _pools(user)).rows()]
    concerns += [_low(pool) for pool in pools if pool.is_public and pool.percent_used >= LOW_POOL_PERCENT]
    total = Total("Nodes", "globe", str(answering), f"of {len(nodes)} answering", reverse("nodes:node_list"))
    rows = [
        {
            "name": pool.name,
            "url": pool.url,
            "node": pool.node,
            "total": pool.size,
            "leased": pool.leased_count,
            "resting": pool.quarantined_count,
            "blocked": pool.blocked_count,
            "free": pool.free_count,
        }
        for pool in pools[:6]
    ]
    panels = [Panel("nodes/partials/pool_panel.html", {"pools": rows})] if rows else []
    return Contribution([total], concerns, panels)


class Pool(NamedTuple):
    """A pool as the overview shows it."""

    pk: int
    name: str
    node: str
    is_public: bool
    free_count: int
    leased_count: int
    quarantined_count: int
    blocked_count: int

    @property
    def url(self) -> str:
        return reverse("nodes:pool_detail", args=[self.pk])

    @property
    def size(self) -> int:
        return self.free_count + self.leased_count + self.quarantined_count + self.blocked_count

    @property
    def percent_used(self) -> float:
        return 100 * (1 - self.free_count / max(1, self.size))


def _pools(user: Any) -> Any:
    names = ["node__name" if name == "node" else name for name in Pool._fields]
    return AddressPool.objects.visible_to(user).filter(is_enabled=True).with_counts().values_list(*names)


def _low(pool: Pool) -> Concern:
    tone, shape = ("bad", "s-bad") if not pool.free_count else ("warn", "s-warn")
    text = f"{pool.free_count} of {pool.size} addresses are free on {pool.node}. Add a pool before it is full."
    return Concern(tone, shape, pool.name, text, pool.url)


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    for node in find_node(Node.objects.visible_to(user), text)[: palette.PER_GROUP]:
        yield palette.Hit(node.name, node.get_absolute_url(), "globe", f"Node, {node.engine}")
    for pool in find_pool(AddressPool.objects.visible_to(user), text)[: palette.PER_GROUP]:
        yield palette.Hit(pool.name, pool.get_absolute_url(), "pin", "Address pool")


def _find_late(user: Any, text: str) -> Iterable[palette.Hit]:
    for region in find_region(Region.objects.visible_to(user), text)[: palette.PER_GROUP]:
        yield palette.Hit(region.name, f"{reverse('nodes:region_list')}?q={region.slug}", "globe", "Region")
    for row in find_operation(operations_visible_to(user), text).order_by("-created_at")[:OPERATIONS_FOUND]:
        url = f"{reverse('nodes:operation_list')}?{urlencode({'q': row.request_id or row.workload_name})}"
        note = f"Operation, {states.badge('operation', row.status).word.lower()}"
        yield palette.Hit(f"{row.verb.capitalize()} {row.workload_name}", url, "list", note)


options.register("regions", lambda: list(Region.objects.filter(is_enabled=True).values_list("slug", "name")))
overview.contribute(40, _overview)
palette.register(_find)
palette.offer(
    palette.Way(
        "Add a node", "nodes:node_create", "plus", lambda user: can(user, "nodes.change"), words="new", is_action=True
    ),
    palette.Way(
        "Add an address pool",
        "nodes:pool_create",
        "plus",
        lambda user: can(user, "pools.change"),
        words="new ports",
        is_action=True,
    ),
)
palette.register(_find_late, is_late=True)
