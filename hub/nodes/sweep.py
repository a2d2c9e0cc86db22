"""Compare a node with its engine, both ways, from PostgreSQL alone: so lost jobs, restarts and strangers are all found.

`tick` runs about twice a second: what is due, rested addresses, the queue for addresses. `sweep` runs every
HUB_SWEEP_SECONDS: one listing of all the engine holds by our labels against all rows of the node.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from accounts import audit
from accounts.actors import SYSTEM
from hub.engines.base import Engine, EngineError, Observation
from hub.failpoints import declare, failpoint

from . import ips, leases
from .choices import LIVE, DesiredStatus, ObservedStatus
from .engines import engine_for
from .models import AddressRequest, Node
from .reconcile import kill_now, reconcile
from .workloads import Workload, workload_model, workload_models

logger = logging.getLogger(__name__)
declare("sweep.before_remove_orphan", "sweep.after_remove_orphan")
MAX_DUE = 200
TICK_SECONDS = 5.0
PULL_SECONDS = 2.0
SILENT_SECONDS = 4.0
_handed_over: set[UUID] = set()


@dataclass
class SweepReport:
    """What one sweep found and did."""

    seen: int = 0
    reconciled: int = 0
    orphans_removed: list[str] = field(default_factory=list)
    error: str = ""


def tick(node: Node, *, engine: Engine | None = None) -> int:
    """Do what is due on a node now, the longest due first; says how many workloads were looked at.

    What is left when TICK_SECONDS are over is for the next tick, so that games which hang do not silence the agent.
    """
    deadline = time.monotonic() + TICK_SECONDS
    leases.end_quarantines(node)
    _kill_below_others(node, engine)
    if AddressRequest.objects.filter(node=node).exists():
        for kind, pk in leases.serve_queue(node):
            _reconcile(workload_model(kind), pk, engine)
    looked_at = 0
    for model in workload_models():
        due = model.objects.filter(node=node).due().order_by("next_check_at")
        for pk in list(due.values_list("pk", flat=True)[:MAX_DUE]):
            _reconcile(model, pk, engine)
            looked_at += 1
            if time.monotonic() > deadline:
                break
    for model in workload_models():
        model.serve_watchers(node, engine or engine_for(node))
    return looked_at


def _kill_below_others(node: Node, engine: Engine | None) -> None:
    """A kill whose job was lost, while another worker hangs in the engine with the row's lease."""
    for model in workload_models():
        hanging = model.objects.filter(node=node, is_kill_wanted=True, lease_until__gt=Now()).alive()
        for workload in hanging.exclude(observed_status=ObservedStatus.STOPPED).select_related("node"):
            try:
                kill_now(workload, engine=engine)
            except EngineError as error:
                logger.warning("%s could not be killed: %s", workload.engine_name, error)


def sweep(node: Node, *, engine: Engine | None = None) -> SweepReport:
    """Compare every row of the node with everything its engine holds."""
    report = SweepReport()
    try:
        engine = engine or engine_for(node)
        held = {seen.id: seen for seen in engine.list_owned()}
    except EngineError as error:
        report.error = str(error)
        _note_engine(node, str(error))
        return report
    _note_engine(node, _prepare(engine, ips.all_of(node)))
    report.seen = len(held)
    for model, row in _rows(node):
        if _differs(row, held.pop(row["pk"], None)):
            report.reconciled += 1
            _reconcile(model, row["pk"], engine)
    for seen in held.values():
        status = status_of(seen, node)
        if status in (None, ObservedStatus.DELETED):
            _remove_orphan(node, engine, seen, report, keep_data=status is None)
    _tidy(engine)
    return report


def _rows(node: Node) -> Iterator[tuple[type[Workload], dict[str, Any]]]:
    for model in workload_models():
        rows = model.objects.filter(node=node).alive()
        for row in rows.values("pk", "desired_status", "observed_status", "generation"):
            yield model, row


def _differs(row: dict[str, Any], seen: Observation | None) -> bool:
    """Whether a row needs a look besides the checks it has asked for itself."""
    desired, observed = row["desired_status"], row["observed_status"]
    runs = seen is not None and seen.is_running
    if desired == DesiredStatus.RUNNING:
        if observed == ObservedStatus.FAILED:
            return runs
        return observed in LIVE and (not runs or (seen is not None and seen.generation != row["generation"]))
    if desired == DesiredStatus.STOPPED:
        return runs or observed != ObservedStatus.STOPPED
    return True


def status_of(seen: Observation, node: Node) -> str | None:
    """The status of the row behind what the engine holds (it may have been made since we listed); None without one."""
    try:
        model = workload_model(seen.kind)
    except LookupError:
        return None
    return model.objects.filter(pk=seen.id, node=node).values_list("observed_status", flat=True).first()


def _remove_orphan(node: Node, engine: Engine, seen: Observation, report: SweepReport, *, keep_data: bool) -> None:
    """Remove something that carries our labels and belongs to nobody.

    Its data stays, because nobody asked to lose it; unless its row says deleted: then a late worker has launched it.
    """
    failpoint("sweep.before_remove_orphan")
    try:
        engine.remove(seen.name, keep_data=keep_data)
    except EngineError as error:
        logger.warning("orphan %s could not be removed: %s", seen.name, error)
        return
    failpoint("sweep.after_remove_orphan")
    report.orphans_removed.append(seen.name)
    audit.record(
        SYSTEM,
        "workload.orphan_removed",
        node,
        name=seen.name,
        generation=seen.generation,
        data="kept" if keep_data else "deleted",
    )
    logger.warning("removed orphan %s: no live row stands behind it", seen.name)


def _prepare(engine: Engine, addresses: Sequence[str]) -> str:
    """Lay again what a restarted daemon, firewall or machine has forgotten; says what stands in the way of it."""
    try:
        engine.prepare()
        engine.hold_addresses(addresses)
    except EngineError as error:
        logger.warning("%s is not prepared: %s", engine.node, error)
        return str(error)
    return ""


def _tidy(engine: Engine) -> None:
    try:
        engine.tidy()
    except EngineError as error:
        logger.warning("left-overs on %s stay for now: %s", engine.node, error)


def _reconcile(model: type[Workload], pk: UUID, engine: Engine | None) -> None:
    """One workload's fault must not keep the others waiting, nor its image.

    What takes long to pull is left to a job. One that does not come (Redis is down) is not waited for twice, as long as
    something of the image comes.
    """
    seconds = None if pk in _handed_over else PULL_SECONDS
    _handed_over.discard(pk)
    try:
        if reconcile(model, pk, engine=engine, pull_seconds=seconds, pull_silent_seconds=SILENT_SECONDS):
            _handed_over.add(pk)
    except Exception:
        logger.exception("reconcile of %s %s failed", model.kind, pk)


def _note_engine(node: Node, error: str) -> None:
    Node.objects.filter(pk=node.pk).update(engine_error=error, engine_checked_at=Now())
