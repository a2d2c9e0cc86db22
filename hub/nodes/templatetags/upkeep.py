"""Cards about a node's upkeep: `{% load upkeep %}{% drift_card node %}`, `{% limits_card node %}`."""

from __future__ import annotations

from typing import Any

from django import template

from hub.nodes import images, kept
from hub.nodes.models import Node
from hub.nodes.upkeep import DriftCard, cluster_facts, limits_of

register = template.Library()


@register.inclusion_tag("nodes/partials/drift.html", takes_context=True)
def drift_card(context: dict[str, Any], node: Node) -> dict[str, Any]:
    """Database, engine and sockets side by side."""
    request = context["request"]
    return {"request": request, "node": node, "card": DriftCard(node, request.user)}


@register.inclusion_tag("nodes/partials/limits.html")
def limits_card(node: Node) -> dict[str, Any]:
    """How each limit is kept there."""
    return {"node": node, "limits": limits_of(node)}


@register.inclusion_tag("nodes/partials/images_card.html")
def images_card(node: Node) -> dict[str, Any]:
    """How many images it holds; nothing where the engine has none."""
    has_images = images.has_images(node)
    return {"node": node, "has_images": has_images, "shelf": images.shelf(node) if has_images else None}


@register.inclusion_tag("nodes/partials/data_card.html")
def data_card(node: Node) -> dict[str, Any]:
    """What removed workloads have left there; nothing where nothing can be left."""
    keeps_data = kept.keeps_data(node)
    return {"node": node, "keeps_data": keeps_data, "cellar": kept.cellar(node) if keeps_data else None}


@register.inclusion_tag("nodes/partials/cluster_card.html", takes_context=True)
def cluster_card(context: dict[str, Any], node: Node) -> dict[str, Any]:
    """What an examination of the cluster has shown; nothing for nodes that are machines."""
    request = context["request"]
    return {"csrf_token": context.get("csrf_token"), "request": request, **cluster_facts(node, request.user)}
