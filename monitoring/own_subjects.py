"""Subjects of the apps below monitoring: nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.urls import reverse

from hub.nodes.models import Node

from .subjects import Subject


def find_nodes(user: Any, ids: Collection[str]) -> Iterable[Subject]:
    """The nodes of these names that the person may see."""
    rows = Node.objects.all() if user is None else Node.objects.visible_to(user)
    for name, region, facts in rows.filter(name__in=ids).values_list("name", "region__slug", "agent_facts"):
        limits = {"cpu_share": 100.0}
        if memory := facts.get("memory_mb"):
            limits["memory_bytes"] = memory * 2.0**20
        yield Subject(f"node:{name}", name, reverse("nodes:node_detail", args=[name]), region, None, limits)
