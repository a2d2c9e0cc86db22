"""What pages and the API show of a node's upkeep: the drift report with its remedies, tasks, history, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Q

from accounts.models import AuditEntry
from accounts.permissions import can
from hub.engines import capabilities_of
from hub.engines.base import Enforcement
from hub.pages import live

from . import clusters, drift, repairs
from .choices import Finding, TaskVerb
from .models import Node, NodeTask
from .workloads import workload_models

LATEST_TASKS = 5
LATEST_HISTORY = 8
HISTORY = Q(action__startswith="drift.") | Q(action__in=("workload.orphan_removed", "workload.adopted"))
ASKED = Q(action__endswith="_asked")
LIMITS = {
    "memory": "Memory",
    "swap": "Swap",
    "cpu": "Processor",
    "pids": "Processes",
    "disk": "Disk",
    "files": "Open files",
}
LIMIT_WORDS = {
    Enforcement.ENFORCED: "Kept by the kernel.",
    Enforcement.WATCHED: "Looked at now and then; a workload above it is shown and not started again.",
    Enforcement.ABSENT: "Not kept on this node.",
}


@dataclass(frozen=True)
class Limit:
    """How one limit is kept on a node."""

    key: str
    label: str
    kept: str
    why: str


@dataclass(frozen=True)
class Shown:
    """One row of the report with what this person can have done about it."""

    row: drift.Row
    remedies: tuple[repairs.Remedy, ...]
    url: str


class DriftCard:
    """The drift report as one person sees it."""

    def __init__(self, node: Node, user: Any) -> None:
        self.node, self.user = node, user
        self.report, self.rows = drift.stored_rows(node)

    @cached_property
    def noteworthy(self) -> list[Shown]:
        """Problems, and what can be done something about."""
        kinds = {*repairs.REMEDIES, Finding.BUSY}
        return self._shown([row for row in self.rows if row.finding in kinds])

    @cached_property
    def in_step(self) -> list[Shown]:
        return self._shown([row for row in self.rows if row.finding == Finding.IN_STEP])

    @property
    def problems(self) -> int:
        return sum(row.is_problem for row in self.rows)

    @cached_property
    def tasks(self) -> list[NodeTask]:
        """What was asked lately about drift."""
        verbs = (TaskVerb.LOOK, TaskVerb.ADOPT, TaskVerb.REPAIR, TaskVerb.REMOVE)
        return list(NodeTask.objects.filter(node=self.node, verb__in=verbs)[:LATEST_TASKS])

    @cached_property
    def open_task(self) -> NodeTask | None:
        return next((task for task in self.tasks if task.is_open), None)

    @cached_property
    def history(self) -> list[AuditEntry]:
        """What was adopted, repaired and removed, by people and by the sweep."""
        if not can(self.user, "audit.view"):
            return []
        entries = AuditEntry.objects.filter(HISTORY, target_kind="node", target_id=str(self.node.pk)).exclude(ASKED)
        return list(entries.order_by("-pk")[:LATEST_HISTORY])

    @property
    def tag(self) -> str:
        """A fingerprint of all that is shown."""
        report = self.report and (self.report.taken_at, self.report.error)
        tasks = [(task.pk, task.status, task.message) for task in self.tasks]
        return live.etag(self.node.pk, self.user.pk, report, tasks, [entry.pk for entry in self.history])

    @property
    def seconds(self) -> int:
        """How often a browser should ask."""
        return 1 if self.open_task else live.SECONDS_CALM

    def _shown(self, rows: list[drift.Row]) -> list[Shown]:
        urls = self._urls(rows)
        return [
            Shown(
                row,
                tuple(one for one in repairs.remedies_for(row.finding) if repairs.may(self.user, self.node, one)),
                urls.get(row.workload or ("", ""), ""),
            )
            for row in rows
        ]

    def _urls(self, rows: list[drift.Row]) -> dict[tuple[str, str], str]:
        """Pages of the workloads that this person may see, one query for each kind."""
        found = {}
        for model in workload_models():
            ids = {row.workload[1] for row in rows if row.workload and row.workload[0] == model.kind}
            for workload in model.objects.visible_to(self.user).filter(pk__in=ids) if ids else ():
                found[model.kind, str(workload.pk)] = getattr(workload, "get_absolute_url", str)()
        return found


def limits_of(node: Node) -> list[Limit]:
    """How each limit is kept: what the agent has told of this very node, else what its engine declares."""
    told: Mapping[str, str] = node.agent_facts.get("limits") or {}
    declared = capabilities_of(node.engine).limits
    return [_limit(key, label, told.get(key) or declared.get(key)) for key, label in LIMITS.items()]


def _limit(key: str, label: str, kept: str | None) -> Limit:
    how = Enforcement(kept or Enforcement.ABSENT)
    return Limit(key, label, how.value, LIMIT_WORDS[how])


def cluster_facts(node: Node, user: Any) -> dict[str, Any]:
    """What the card of a cluster shows; it is asked for again while the agent examines it."""
    is_cluster = clusters.is_cluster(node)
    report, checks = clusters.checks_of(node) if is_cluster else (None, [])
    return {
        "node": node,
        "is_cluster": is_cluster,
        "report": report,
        "checks": checks,
        "is_under_way": clusters.is_under_way(report),
        "may_examine": is_cluster and can(user, "nodes.change", node),
        "seconds": live.SECONDS_BUSY if clusters.is_under_way(report) else 6 * live.SECONDS_CALM,
    }
