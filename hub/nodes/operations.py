"""Wishes: move a workload's desired state, write the operation, and send the job."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from hub import context, jobs
from hub.failpoints import declare, failpoint
from hub.postgres.inserts import insert

from .choices import OPEN_OPERATIONS, DesiredStatus, ObservedStatus, OperationStatus
from .models import Operation
from .workloads import Workload

declare("operations.before_commit")


def wish(
    workload: Workload,
    *,
    verb: str,
    actor: Any,
    desired: DesiredStatus | None = None,
    kill: bool = False,
) -> Operation:
    """Record what is asked of a workload and have it done. The caller holds the row's lock in a transaction.

    The generation rises, so whatever a worker is doing for an older wish can no longer be stored. Older open operations
    become superseded. The next check is due at once: the sweep finds the work even if the job is lost.
    """
    if workload._state.adding:
        raise ValueError("save the workload first")
    workload.generation += 1
    workload.desired_status = desired or workload.desired_status
    workload.is_kill_wanted = kill
    workload.stop_deadline_at = workload.ready_deadline_at = workload.restart_after = None
    workload.restart_count, workload.restart_window_at, workload.crash_times = 0, None, []
    workload.image_pinned = ""  # whoever asks for a launch gets what the image's name means by then
    workload.next_check_at = timezone.now()
    fields = [
        "generation",
        "desired_status",
        "is_kill_wanted",
        "stop_deadline_at",
        "ready_deadline_at",
        "restart_after",
        "restart_count",
        "restart_window_at",
        "crash_times",
        "image_pinned",
        "next_check_at",
    ]
    if workload.desired_status == DesiredStatus.RUNNING and workload.observed_status in (
        ObservedStatus.STOPPED,
        ObservedStatus.FAILED,
        ObservedStatus.CRASHED,
        ObservedStatus.LOST,
    ):
        workload.observed_status, workload.status_reason = ObservedStatus.QUEUED, ""
        fields += ["observed_status", "status_reason"]
    workload.save(update_fields=fields)
    Operation.objects.filter(workload_id=workload.pk, status__in=OPEN_OPERATIONS).update(
        status=OperationStatus.SUPERSEDED, finished_at=Now(), error=f"A newer wish ({verb}) took its place."
    )
    return record(workload, verb=verb, actor=actor, kill=kill)


def record(workload: Workload, *, verb: str, actor: Any, kill: bool = False) -> Operation:
    """Write the operation of the workload's present generation and send its job after commit."""
    operation = Operation(
        workload_kind=workload.kind,
        workload_id=workload.pk,
        workload_name=workload.name,
        node=workload.node,
        verb=verb,
        generation=workload.generation,
        actor=actor if getattr(actor, "pk", None) else None,
        actor_name=str(actor),
        request_id=context.current().request_id,
    )
    insert(operation)
    send(workload, kill=kill)
    failpoint("operations.before_commit")
    return operation


def send(workload: Workload, *, kill: bool = False) -> None:
    """Send the job that closes a workload's gap, or ends it at once."""
    jobs.enqueue(
        "hub.nodes.jobs.kill_workload" if kill else "hub.nodes.jobs.reconcile_workload",
        workload.kind,
        str(workload.pk),
        queue=jobs.node_queue(workload.node.name),
    )


def begin(workload: Workload) -> None:
    """Note that a launch is under way: what came before was waiting, for a worker or for an address."""
    mark(workload, OperationStatus.RUNNING)


def add_pull(workload: Workload, seconds: float) -> None:
    """Note what pulling its image took of the launch, so that a slow registry is told from a slow node."""
    open_ones = Operation.objects.filter(workload_id=workload.pk, status=OperationStatus.RUNNING)
    open_ones.filter(generation=workload.generation).update(pull_seconds=F("pull_seconds") + seconds)


def is_older_than(workload: Workload, age: timedelta) -> bool:
    """Whether the wish for the workload's present generation has been under way for longer, by the server's clock."""
    open_ones = Operation.objects.open().filter(workload_id=workload.pk, generation=workload.generation)
    return open_ones.filter(started_at__lt=Now() - age).exists()


def mark(workload: Workload, status: OperationStatus, *, error: str = "") -> None:
    """Move the open operations of the workload's generation, or of older ones, to where they stand now."""
    moves: dict[str, Any] = {"status": status, "error": error}
    if status == OperationStatus.RUNNING:
        open_ones = Operation.objects.filter(workload_id=workload.pk, status=OperationStatus.QUEUED)
        moves["started_at"] = Now()
    else:
        open_ones = Operation.objects.filter(workload_id=workload.pk, status__in=OPEN_OPERATIONS)
        moves["finished_at"] = Now()
    open_ones.filter(generation__lte=workload.generation).update(**moves)
