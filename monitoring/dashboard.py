"""The fleet at a glance: what the overview collects, with top consumers, agents, and what waits in the queues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from redis.exceptions import RedisError

from hub.jobs import DEFAULT_QUEUE, node_queue, rq_queue
from hub.nodes.facts import node_badge, nodes_for_badges
from hub.nodes.models import Node
from hub.pages import overview
from hub.pages.states import Badge

from . import query, subjects
from .charts import COMPARED
from .models import Feed

TOP = 5
CANDIDATES = 40  # looked up to find the top ones that a person may see


@dataclass(frozen=True)
class Consumer:
    """One of the busiest."""

    name: str
    url: str
    value: float


@dataclass(frozen=True)
class Agent:
    """One node's agent: its last beat, and what it could not deliver yet."""

    name: str
    badge: Badge
    seen_at: datetime | None
    delivered_at: datetime | None
    waiting: int
    dropped: int
    jobs: int | None


def collect(request: HttpRequest) -> dict[str, Any]:
    """Everything that the page shows to this person."""
    nodes = _nodes(request.user)
    jobs = _jobs([DEFAULT_QUEUE, *(node_queue(node.name) for node in nodes)])
    return {
        **overview.collect(request),
        "node_keys": [f"node:{node.name}" for node in nodes if node.is_enabled][:COMPARED],
        "tops": top_consumers(request.user),
        "agents": _agents(nodes, jobs),
        "jobs_waiting": None if jobs is None else sum(jobs.values()),
    }


def _nodes(user: Any) -> list[Node]:
    """Every node that the person may see, with what its badge needs."""
    return nodes_for_badges(("fleet", user.reach), lambda: Node.objects.visible_to(user).order_by("name"))


def top_consumers(user: Any) -> list[tuple[str, str, list[Consumer]]]:
    """Who uses most processor and memory now, of those that the person may see."""
    measured = query.newest(("cpu_percent", "memory_bytes"))
    ranked = {
        metric: sorted(
            (key for key in measured if metric in measured[key] and not key.startswith("node:")),
            key=lambda key: -measured[key][metric],
        )[:CANDIDATES]
        for metric in ("cpu_percent", "memory_bytes")
    }
    seen = subjects.visible(user, {key for keys in ranked.values() for key in keys})
    return [
        (
            label,
            unit,
            [Consumer(seen[key].name, seen[key].url, measured[key][metric]) for key in ranked[metric] if key in seen][
                :TOP
            ],
        )
        for metric, label, unit in (("cpu_percent", "Processor", "percent"), ("memory_bytes", "Memory", "bytes"))
    ]


def _agents(nodes: list[Node], jobs: dict[str, int] | None) -> list[Agent]:
    rows = Feed.objects.filter(name__in=[node.name for node in nodes]).order_by("at")
    feeds = {feed.name: feed for feed in rows}
    return [_agent(node, feeds.get(node.name), jobs) for node in nodes]


def _agent(node: Node, feed: Feed | None, jobs: dict[str, int] | None) -> Agent:
    waiting = None if jobs is None else jobs[node_queue(node.name)]
    agent = Agent(node.name, node_badge(node), node.agent_seen_at, None, 0, 0, waiting)
    if feed is None:
        return agent
    return replace(agent, delivered_at=feed.at, waiting=feed.waiting, dropped=feed.dropped)


def _jobs(names: list[str]) -> dict[str, int] | None:
    """How many jobs wait in each queue; None while Redis is away."""
    try:
        return {name: rq_queue(name).count for name in names}
    except RedisError:
        return None
