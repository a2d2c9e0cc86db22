"""What a node's agent does besides workloads: the tasks it was asked, and its reports."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from django.db.models.functions import Now
from django.utils import timezone

from hub.engines.base import Engine, EngineError
from hub.exceptions import HubError

from . import clusters, drift, images, kept, repairs, tasks, volumes
from .choices import OperationStatus, TaskVerb
from .engines import engine_for
from .models import Node, NodeTask

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60
LIST_SECONDS = 600
FAILED_WORDS = "The agent stumbled over it; its log says where."


def _look(task: NodeTask, engine: Engine) -> str:
    problems = sum(row.is_problem for row in drift.look(task.node, engine))
    return f"{problems} to mend." if problems else "Everything agrees."


CHORES: dict[str, Callable[[NodeTask, Engine], str]] = {
    TaskVerb.LOOK: _look,
    TaskVerb.ADOPT: repairs.apply,
    TaskVerb.REPAIR: repairs.apply,
    TaskVerb.REMOVE: repairs.apply,
    TaskVerb.LIST_IMAGES: images.do_list,
    TaskVerb.PULL_IMAGE: images.do_pull,
    TaskVerb.REMOVE_IMAGES: images.do_remove,
    TaskVerb.LIST_DATA: kept.do_list,
    TaskVerb.REMOVE_DATA: kept.do_remove,
    TaskVerb.BACK_UP_DATA: volumes.do_back_up,
}


def do_task(pk: uuid.UUID, *, engine: Engine | None = None) -> None:
    """Do one task unless somebody else is at it, and store its fate."""
    task = tasks.claim(pk)
    if task is None:
        return
    try:
        outcome = CHORES[task.verb](task, engine or engine_for(task.node))
    except (EngineError, HubError) as error:
        tasks.finish(task, OperationStatus.FAILED, str(error))
    except Exception:
        tasks.finish(task, OperationStatus.FAILED, FAILED_WORDS)
        raise
    else:
        tasks.finish(task, OperationStatus.DONE, outcome)


def take_up(node: Node, *, engine: Engine | None = None) -> None:
    """Do the tasks that no worker has begun in time or finished; long ones are sent once more instead."""
    for task in NodeTask.objects.open().filter(node=node, lease_until__lt=Now()).select_related("node").order_by("pk"):
        if task.verb in tasks.LONG_VERBS and task.attempts < tasks.MAX_ATTEMPTS:
            NodeTask.objects.filter(pk=task.pk, lease_token=task.lease_token).update(
                status=OperationStatus.QUEUED,
                lease_token=None,
                lease_until=timezone.now() + tasks.queue_time(task.verb),
            )
            tasks.send(task)
            continue
        try:
            do_task(task.pk, engine=engine)
        except Exception:
            logger.exception("task %s of %s failed", task.pk, node.name)


def look_around(node: Node, *, with_lists: bool = False) -> None:
    """Bring the node's reports up to date, of its own accord."""
    clusters.ask_if_due(node)
    try:
        engine = engine_for(node)
        drift.look(node, engine)
        if with_lists and engine.capabilities.images:
            images.report(node, engine)
        if with_lists and engine.capabilities.volumes:
            kept.report(node, engine)
    except EngineError as error:
        logger.warning("no report of %s: %s", node.name, error)
