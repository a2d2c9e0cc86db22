"""Ask a node's agent to do something on its machine, and follow it to its fate.

The row is the truth and the job only its messenger. While a task waits, `lease_until` says how long it is left to the
queue; while it is done, how long to its worker. Whatever is still open after that is taken up by the agent's tick, so
a lost job or a dead worker delays a task and never swallows it. What is done is idempotent, as it may be done twice.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from hub import context, jobs
from hub.failpoints import declare, failpoint

from .choices import OPEN_OPERATIONS, OperationStatus, TaskVerb
from .models import Node, NodeTask

declare("tasks.after_claim", "tasks.before_finish")

LEASE_SECONDS = 120
MAX_ATTEMPTS = 3
LONG_VERBS = frozenset({TaskVerb.PULL_IMAGE, TaskVerb.REMOVE_DATA, TaskVerb.BACK_UP_DATA})
"""What may take minutes is only ever done by a worker: in the tick it would hold up the whole node."""
QUEUE_SECONDS, LONG_QUEUE_SECONDS = 2, 60


def ask(node: Node, verb: TaskVerb, *, actor: Any, subject: str = "", **arguments: Any) -> NodeTask:
    """Write the task and send its job after commit; an open one that asks for the same is answered instead."""
    same = NodeTask.objects.open().filter(node=node, verb=verb, arguments=arguments).first()
    if same is not None:
        return same
    task = NodeTask.objects.create(
        node=node,
        verb=verb,
        subject=subject,
        arguments=arguments,
        actor=actor if getattr(actor, "pk", None) else None,
        actor_name=str(actor),
        request_id=context.current().request_id,
        lease_until=timezone.now() + queue_time(verb),
    )
    send(task)
    return task


def send(task: NodeTask) -> None:
    """Send the task's job to its node."""
    jobs.enqueue("hub.nodes.jobs.do_task", str(task.pk), queue=jobs.node_queue(task.node.name))


def queue_time(verb: str) -> timedelta:
    """How long a task is left to the queue before the tick takes it up."""
    return timedelta(seconds=LONG_QUEUE_SECONDS if verb in LONG_VERBS else QUEUE_SECONDS)


def claim(pk: uuid.UUID) -> NodeTask | None:
    """Take a task that nobody is at, or None. One that was begun too often has failed."""
    token = uuid.uuid4()
    takeable = Q(status=OperationStatus.QUEUED) | Q(status=OperationStatus.RUNNING, lease_until__lt=Now())
    free = NodeTask.objects.filter(takeable, pk=pk)
    free.filter(attempts__gte=MAX_ATTEMPTS).update(
        status=OperationStatus.FAILED,
        message="Given up: its worker ended several times before it was done.",
        progress_percent=None,
        finished_at=Now(),
    )
    claimed = free.update(
        status=OperationStatus.RUNNING,
        attempts=F("attempts") + 1,
        started_at=Now(),
        lease_token=token,
        lease_until=Now() + timedelta(seconds=LEASE_SECONDS),
    )
    failpoint("tasks.after_claim")
    if not claimed:
        return None
    return NodeTask.objects.select_related("node__region", "actor").filter(pk=pk, lease_token=token).first()


def note_progress(task: NodeTask, message: str, percent: int | None = None) -> bool:
    """Say how far it is and keep the lease; False when somebody else has the task by now."""
    held = NodeTask.objects.filter(pk=task.pk, lease_token=task.lease_token, status=OperationStatus.RUNNING)
    lease_until = Now() + timedelta(seconds=LEASE_SECONDS)
    return bool(held.update(message=message, progress_percent=percent, lease_until=lease_until))


def finish(task: NodeTask, status: OperationStatus, message: str) -> None:
    """Store the fate of a task that is still ours."""
    failpoint("tasks.before_finish")
    NodeTask.objects.filter(pk=task.pk, lease_token=task.lease_token, status__in=OPEN_OPERATIONS).update(
        status=status, message=message, progress_percent=None, lease_token=None, lease_until=None, finished_at=Now()
    )
