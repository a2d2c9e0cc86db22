"""Nodes that are clusters: how their agent gets in, and what an examination of the cluster has shown.

The kubeconfig is sealed in `Node.credentials`, reaches the engine with its options, and is never shown again. The
examination runs as a job on the node's own queue, because it takes a minute or two; its report is on the node's page.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.permissions import require
from hub import jobs
from hub.engines.base import Check, Engine, EngineError, Verdict
from hub.engines.kubernetes.gateway import parse_kubeconfig
from hub.engines.kubernetes.options import KNOWN, Options
from hub.exceptions import Invalid, NotFound

from .choices import EngineKind, ReportKind
from .engines import engine_for
from .models import Address, Node, NodeReport

HUB_CHARACTERS = 31
MOST_BYTES = 64 * 1024
EVERY = timedelta(days=1)
AGAIN = timedelta(minutes=10)
ASKED = "The agent is examining it."


def is_cluster(node: Node) -> bool:
    return node.engine == EngineKind.KUBERNETES


def set_kubeconfig(node: Node, *, actor: Any, kubeconfig: str) -> None:
    """Store how the agent gets into the cluster, in place of what was there; the cluster is then examined anew."""
    require(actor, "nodes.change", node)
    check_kubeconfig(node.engine, kubeconfig)
    with transaction.atomic():
        locked = Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        stored = _stored(locked)
        locked.credentials = json.dumps({**stored, "kubeconfig": kubeconfig})
        locked.save(update_fields=["credentials"])
        examine_anew(locked)
        audit.record(actor, "node.kubeconfig_set", locked, replaces="kubeconfig" in stored)


def forget_kubeconfig(node: Node, *, actor: Any) -> None:
    """Forget how the agent gets in: it then uses the account of the pod it runs in."""
    require(actor, "nodes.change", node)
    with transaction.atomic():
        locked = Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        stored = _stored(locked)
        if "kubeconfig" not in stored:
            raise NotFound("The node has no kubeconfig.")
        del stored["kubeconfig"]
        locked.credentials = json.dumps(stored)
        locked.save(update_fields=["credentials"])
        examine_anew(locked)
        audit.record(actor, "node.kubeconfig_forgotten", locked)


def has_kubeconfig(node: Node) -> bool:
    return "kubeconfig" in _stored(node)


def _stored(node: Node) -> dict[str, Any]:
    return json.loads(node.credentials.reveal() or "{}") if node.credentials else {}


def check_options(engine: str, name: str, options: Any) -> None:
    """Refuse what the engine would not understand; for machines their engines ask. Raises Invalid."""
    if engine != EngineKind.KUBERNETES:
        return
    if not isinstance(options, dict):
        raise Invalid("Options are names with values.", field="options")
    if unknown := sorted(set(options) - KNOWN):
        raise Invalid(f"A cluster has no option `{unknown[0]}`.", field="options")
    try:
        Options.parse(name, options)
    except EngineError as error:
        raise Invalid(str(error), field="options") from None


def own_options(engine: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a new node. Two hubs may have a node of one name in one cluster and must not take each other's
    workloads for their own, so ours are marked with a name that only this node has, unless one is given.
    """
    if engine != EngineKind.KUBERNETES or options.get("hub"):
        return options
    return {**options, "hub": f"{name[:HUB_CHARACTERS]}-{secrets.token_hex(4)}"}


def with_same_hub(node: Node, options: dict[str, Any]) -> dict[str, Any]:
    """Changed options with the mark they had, when they name none: without it nobody would know what is ours."""
    own = node.options.get("hub")
    return {**options, "hub": own} if own and not options.get("hub") else options


def check_kubeconfig(engine: str, kubeconfig: str) -> None:
    """Refuse what no agent could use. Raises Invalid."""
    if engine != EngineKind.KUBERNETES:
        raise Invalid("Only a node that is a cluster has a kubeconfig.", field="kubeconfig")
    if len(kubeconfig.encode(errors="replace")) > MOST_BYTES:
        raise Invalid("This is too long for a kubeconfig.", field="kubeconfig")
    try:
        parse_kubeconfig(kubeconfig)
    except EngineError as error:
        raise Invalid(str(error), field="kubeconfig") from None


def examine_anew(node: Node) -> None:
    """Forget what an examination has found: something that it looks at has changed, and the agent soon asks again."""
    if is_cluster(node):
        NodeReport.objects.filter(node=node, kind=ReportKind.CLUSTER).delete()


def ask_if_due(node: Node) -> bool:
    """Have a cluster examined once a day, first when its agent has come; says whether it was asked now."""
    if not is_cluster(node):
        return False
    now = timezone.now()
    NodeReport.objects.get_or_create(node=node, kind=ReportKind.CLUSTER)
    due = Q(taken_at=None) | Q(taken_at__lt=now - EVERY) | (~Q(error="") & Q(taken_at__lt=now - AGAIN))
    report = NodeReport.objects.filter(due, node=node, kind=ReportKind.CLUSTER)
    if not report.update(taken_at=now, error=ASKED):
        return False
    jobs.enqueue("hub.nodes.jobs.examine_cluster", node.pk, queue=jobs.node_queue(node.name))
    return True


def ask_examination(node: Node, *, actor: Any) -> NodeReport:
    """Have a cluster examined now. It makes two throw-away namespaces there, so who only looks may not ask.

    While one is under way another is not asked for.
    """
    require(actor, "nodes.change", node)
    need_cluster(node)
    now = timezone.now()
    with transaction.atomic():
        Node.objects.select_for_update(no_key=True).only("pk").get(pk=node.pk)
        report, _ = NodeReport.objects.get_or_create(node=node, kind=ReportKind.CLUSTER)
        if is_under_way(report):
            return report
        report.taken_at, report.error = now, ASKED
        report.save(update_fields=["taken_at", "error"])
        audit.record(actor, "node.examination_asked", node)
        jobs.enqueue("hub.nodes.jobs.examine_cluster", node.pk, queue=jobs.node_queue(node.name))
    return report


def is_under_way(report: NodeReport | None) -> bool:
    """Whether the agent was asked and has had no time to answer; a job that was lost is asked for again."""
    if report is None or report.error != ASKED or report.taken_at is None:
        return False
    return report.taken_at > timezone.now() - AGAIN


def need_cluster(node: Node) -> None:
    if not is_cluster(node):
        raise NotFound("This node is no cluster.")


def examine(node: Node, *, engine: Engine | None = None) -> list[Check]:
    """Examine the cluster now and store what was found."""
    report, _ = NodeReport.objects.get_or_create(node=node, kind=ReportKind.CLUSTER)
    ips = Address.objects.filter(node=node, pool__is_enabled=True).values_list("ip", flat=True).distinct()
    try:
        checks = list((engine or engine_for(node)).examine([str(ip) for ip in ips]))
    except EngineError as error:
        NodeReport.objects.filter(pk=report.pk).update(error=str(error), taken_at=timezone.now())
        return []
    rows = [asdict(check) for check in checks]
    NodeReport.objects.filter(pk=report.pk).update(rows=rows, error="", taken_at=timezone.now())
    return checks


def checks_of(node: Node) -> tuple[NodeReport | None, list[Check]]:
    """What the last examination has shown, what is wrong first."""
    report = NodeReport.objects.filter(node=node, kind=ReportKind.CLUSTER).first()
    checks = [Check(**{**row, "verdict": Verdict(row["verdict"])}) for row in (report.rows if report else [])]
    order = [Verdict.BAD, Verdict.UNKNOWN, Verdict.GOOD]
    return report, sorted(checks, key=lambda check: order.index(check.verdict))
