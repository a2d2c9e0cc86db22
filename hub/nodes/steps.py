"""The lease under which a workload's row is worked on, and the one place that stores what a step saw.

The lease is taken with one compare-and-set UPDATE. Only its holder may store, and only while the wish it acted on is
still the newest: token and generation must match.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.actors import SYSTEM
from hub.failpoints import declare, failpoint

from . import clocks, leases, operations
from .choices import WORKLOAD_TRANSITIONS, ObservedStatus, OperationStatus
from .workloads import Workload

S = ObservedStatus

LEASE_SECONDS = 60
RETRY_SECONDS = 15.0

declare("reconcile.after_claim", "reconcile.before_store", "reconcile.in_store", "reconcile.after_store")


@dataclass
class Step:
    """What one step saw: the new status with its reason, when to look again, and what became of the wish."""

    status: ObservedStatus
    reason: str = ""
    again: bool = False
    check_in: float | None = None
    operation: OperationStatus | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    is_adoption: bool = False


OVERTAKEN = Step(S.QUEUED, again=True)  # is never stored: token or generation no longer match


def claim(model: type[Workload], pk: uuid.UUID) -> Workload | None:
    """Take the row's lease, or say None: somebody has it, or there is no such live row."""
    token = uuid.uuid4()
    claimed = (
        model._base_manager.filter(clocks.free_lease(), pk=pk)
        .exclude(observed_status=S.DELETED)
        .update(lease_token=token, lease_until=Now() + timedelta(seconds=LEASE_SECONDS))
    )
    failpoint("reconcile.after_claim")
    if not claimed:
        return None
    rows = model._base_manager.select_related("node__region", *model.related_in_steps)
    return rows.prefetch_related(*model.parts_in_steps).filter(pk=pk, lease_token=token).first()


def renew(workload: Workload, **changes: Any) -> bool:
    """Keep the lease during long work and note its progress; False when the wish has changed or the lease is lost."""
    return bool(
        _held(workload).update(lease_until=Now() + timedelta(seconds=LEASE_SECONDS), observed_at=Now(), **changes)
    )


def let_go(workload: Workload, *, check_in: float = 0.0) -> None:
    """Give the lease up without storing anything."""
    type(workload)._base_manager.filter(pk=workload.pk, lease_token=workload.lease_token).update(
        lease_token=None, lease_until=None, next_check_at=Now() + timedelta(seconds=check_in)
    )


def _held(workload: Workload) -> Any:
    return type(workload)._base_manager.filter(
        pk=workload.pk, lease_token=workload.lease_token, generation=workload.generation
    )


def lock_held(workload: Workload) -> bool:
    """Lock the row for the transaction at hand; False when somebody else took it over or a newer wish came.

    Without this, a worker that wakes up late would lease addresses for a workload that is deleted.
    """
    return _held(workload).select_for_update(no_key=True).values("pk").first() is not None


def store(workload: Workload, step: Step) -> bool:
    """Write what was seen and let go of the lease, if token and generation still match."""
    failpoint("reconcile.before_store")
    old_status = workload.observed_status
    is_old_news = old_status == step.status == S.RUNNING and workload.started_at == step.changes.get("started_at")
    with transaction.atomic():
        stored = WORKLOAD_TRANSITIONS.apply(
            workload,
            step.status,
            guard={"lease_token": workload.lease_token, "generation": workload.generation},
            status_reason=step.reason,
            observed_at=Now(),
            next_check_at=None
            if step.check_in is None and not step.again
            else Now() + timedelta(seconds=step.check_in or 0),
            lease_token=None,
            lease_until=None,
            **step.changes,
        )
        if stored and step.status == S.DELETED:
            leases.release(workload.pk)
        if stored and step.operation and not is_old_news:
            error = step.reason if step.operation == OperationStatus.FAILED else ""
            operations.mark(workload, step.operation, error=error)
        if stored and step.status in (S.CRASHED, S.FAILED) and old_status != step.status:
            audit.record(SYSTEM, f"{workload.kind}.{step.status}", workload, reason=step.reason)
        if stored and step.is_adoption:
            audit.record(SYSTEM, "workload.adopted", workload.node, name=workload.name, was=old_status)
        failpoint("reconcile.in_store")
    failpoint("reconcile.after_store")
    return stored
