"""Bring a node's workloads to rest while the hub itself goes down; what was asked of them stays as it is.

Runs when no agent does. The next agent finds rows that were lost without a crash, and starts what shall run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db.models.functions import Now

from hub.engines.base import Engine, EngineError, State
from hub.exceptions import SecretError
from hub.failpoints import declare, failpoint

from .choices import LIVE, ObservedStatus
from .engines import engine_for
from .models import Node
from .workloads import Workload, workload_models

logger = logging.getLogger(__name__)

REASON = "It was stopped together with the hub and starts again with it."
POLL_SECONDS = 0.2

declare("shutdown.before_stop", "shutdown.after_stop", "shutdown.before_kill", "shutdown.after_kill")


@dataclass
class Ending:
    """A workload that was asked to end, and when patience is over."""

    workload: Workload
    deadline: float


def stop_workloads(
    node: Node, *, seconds: float, engine: Engine | None = None, say: Callable[[str], None] = logger.info
) -> int:
    """Stop what runs on the node, each in its own way, killed after its grace or `seconds`; says how many that were."""
    engine = engine or engine_for(node)
    endings = [
        ending
        for model in workload_models()
        for workload in model.objects.filter(node=node).alive()
        if (ending := _begin(workload, engine, seconds, say))
    ]
    open_endings = list(endings)
    while open_endings:
        open_endings = [ending for ending in open_endings if not _has_ended(ending, engine)]
        time.sleep(POLL_SECONDS if open_endings else 0)
    return len(endings)


def _begin(workload: Workload, engine: Engine, seconds: float, say: Callable[[str], None]) -> Ending | None:
    """Ask one workload to end, if it runs."""
    try:
        seen = engine.inspect(workload.engine_name)
        if seen is None or not seen.is_running:
            return None
        say(f"stopping {workload.name}")
        failpoint("shutdown.before_stop")
        workload.begin_stop(engine, seen)
        failpoint("shutdown.after_stop")
    except (EngineError, SecretError) as error:
        logger.warning("%s cannot be asked to end: %s", workload.engine_name, error)
    return Ending(workload, time.monotonic() + min(workload.stop_grace_seconds, seconds))


def _has_ended(ending: Ending, engine: Engine) -> bool:
    """Look once; kill what has used up its patience, and remember an end as a rest."""
    workload = ending.workload
    overdue = time.monotonic() >= ending.deadline
    try:
        seen = engine.inspect(workload.engine_name)
        if seen is not None and seen.is_running:
            if not overdue:
                return False
            logger.warning("%s did not end in time and is killed", workload.engine_name)
            failpoint("shutdown.before_kill")
            engine.kill(workload.engine_name)
            failpoint("shutdown.after_kill")
        elif seen is not None:
            if seen.state == State.EXITED:
                workload.after_end(engine, seen)
            if engine.capabilities.restarts_by_itself:
                engine.stop(workload.engine_name)  # it has ended as its console told it, and would be started again
    except EngineError as error:
        logger.warning("%s cannot be looked at: %s", workload.engine_name, error)
        if not overdue:
            return False
    _rest(workload)
    return True


def _rest(workload: Workload) -> None:
    """Store that it is gone without a crash; due at once, for the agent that comes."""
    type(workload)._base_manager.filter(pk=workload.pk, observed_status__in=LIVE).update(
        observed_status=ObservedStatus.LOST,
        status_reason=REASON,
        observed_at=Now(),
        next_check_at=Now(),
        restart_after=None,
        ready_deadline_at=None,
        health_misses=0,
        lease_token=None,
        lease_until=None,
    )
