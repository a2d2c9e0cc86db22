"""Places, panels and searches of nodes, pools and operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.pages import options, overview, palette
from hub.pages.navigation import Count, Place, register
from hub.pages.overview import Concern, Contribution, Panel, Total
from hub.statements import statement

from .facts import BADGE_FIELDS, node_badge
from .models import AddressPool, Node, Region

LOW_POOL_PERCENT = 90


def _nodes_for_badges() -> Any:
    return Node.objects.filter(is_enabled=True).values_list(*BADGE_FIELDS)


def _silent_nodes(user: Any) -> Count:
    nodes = statement("nodes in the navigation", _nodes_for_badges).rows()
    tones = [node_badge(Node.from_db("default", BADGE_FIELDS, row)).tone for row in nodes]
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
    user = request.user
    if not can(user, "nodes.view"):
        return Contribution()
    nodes = list(Node.objects.visible_to(user).filter(is_enabled=True))
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
    pools = list(AddressPool.objects.visible_to(user).filter(is_enabled=True).select_related("node").with_counts())
    concerns += [_low(pool) for pool in pools if pool.is_public and _percent_used(pool) >= LOW_POOL_PERCENT]
    total = Total("Nodes", "globe", str(answering), f"of {len(nodes)} answering", reverse("nodes:node_list"))
    rows = [
        {
            "name": pool.name,
            "url": reverse("nodes:pool_detail", args=[pool.pk]),
            "node": pool.node.name,
            "total": _size(pool),
            "leased": pool.leased_count,
            "resting": pool.quarantined_count,
            "blocked": pool.blocked_count,
            "free": pool.free_count,
        }
        for pool in pools[:6]
    ]
    panels = [Panel("nodes/partials/pool_panel.html", {"pools": rows})] if rows else []
    return Contribution([total], concerns, panels)


def _size(pool: Any) -> int:
    return int(pool.free_count + pool.leased_count + pool.quarantined_count + pool.blocked_count)


def _percent_used(pool: Any) -> float:
    return 100 * (1 - pool.free_count / max(1, _size(pool)))


def _low(pool: Any) -> Concern:
    tone, shape = ("bad", "s-bad") if not pool.free_count else ("warn", "s-warn")
    text = f"{pool.free_count} of {_size(pool)} addresses are free on {pool.node.name}. Add a pool before it is full."
    return Concern(tone, shape, pool.name, text, reverse("nodes:pool_detail", args=[pool.pk]))


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    for node in Node.objects.visible_to(user).filter(name__icontains=text)[: palette.PER_GROUP]:
        yield palette.Hit(node.name, reverse("nodes:node_detail", args=[node.name]), "globe", f"Node, {node.engine}")


options.register("regions", lambda: list(Region.objects.filter(is_enabled=True).values_list("slug", "name")))
overview.contribute(40, _overview)
palette.register(_find)
