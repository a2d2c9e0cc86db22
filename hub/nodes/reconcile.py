"""Close the gap between what was asked of a workload and what its engine holds: the only code that drives an engine.

`reconcile` claims the row's lease (`steps`), takes one short step, stores what it saw only if the wish is still the
newest, and lets go; it goes on while another step can be taken at once. Nobody waits here:
a stop sends its signal, notes the deadline, and a later pass kills. So at any point the process may be killed: the
lease runs out, and the next pass sees with `inspect` what is really there.

Kill bypasses the lease (`kill_now`): the wish has raised the generation, so a worker in the middle of a launch cannot
store its result, sees the newer wish when it lets go, and ends what it started.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from hub.engines.base import Engine, EngineError, Observation, PullProgress, Reason, State, WorkloadSpec
from hub.exceptions import SecretError
from hub.failpoints import declare, failpoint

from . import clocks, crashes, ips, operations, steps
from .choices import LIVE, DesiredStatus, ObservedStatus, OperationStatus, PoolKind
from .engines import engine_for
from .moves import give_back_unwanted, lease_missing, move_away, probe
from .steps import Step, claim, let_go, renew, store
from .workloads import Workload

logger = logging.getLogger(__name__)
S = ObservedStatus

MAX_STEPS = 12
POLL_SECONDS = 0.5
SPARE_SECONDS = 5.0
WORTH_NOTING_SECONDS = 0.1
HEALTH_MISSES_ALLOWED = 3
START_SECONDS = 300
START_POLL_SECONDS = 1.0
PULL_PATIENCE = timedelta(minutes=30)
HANDED_OVER_SECONDS = 30.0

declare(
    "reconcile.before_inspect",
    "reconcile.before_pull",
    "reconcile.after_pull",
    "reconcile.before_ensure",
    "reconcile.after_ensure",
    "reconcile.before_stop",
    "reconcile.after_stop",
    "reconcile.before_kill",
    "reconcile.after_kill",
    "reconcile.before_remove",
    "reconcile.after_remove",
    "reconcile.before_hold",
    "reconcile.after_hold",
    "reconcile.before_take_back",
    "reconcile.after_take_back",
    "reconcile.before_give_up",
    "reconcile.after_give_up",
    "reconcile.before_call_off",
    "reconcile.after_call_off",
)


def reconcile(
    model: type[Workload],
    pk: uuid.UUID,
    *,
    engine: Engine | None = None,
    pull_seconds: float | None = None,
    pull_silent_seconds: float | None = None,
) -> bool:
    """Take the steps that can be taken now; says whether a job was sent for the rest.

    Does nothing while another process holds the lease: it will see the wish. `pull_seconds` is for those who may not
    wait for an image: after that time the pull is left to a job (the layers that have come stay); after
    `pull_silent_seconds` that is done with one of which nothing comes.
    """
    for _ in range(MAX_STEPS):
        workload = claim(model, pk)
        if workload is None:
            return False
        workload.pull_seconds, workload.pull_silent_seconds = pull_seconds, pull_silent_seconds
        try:
            step = take_step(workload, engine)
            stored = store(workload, step)
        except Exception:
            let_go(workload, check_in=steps.RETRY_SECONDS)
            raise
        if not stored:
            let_go(workload)
        elif workload.is_handed_over:
            operations.send(workload)
            return True
        elif not step.again:
            return False
    return False


def take_step(workload: Workload, engine: Engine | None = None) -> Step:
    """Look, and do the one thing that brings the workload nearer to what was asked."""
    failpoint("reconcile.before_inspect")
    try:
        engine = engine or engine_for(workload.node)
        seen = engine.inspect(workload.engine_name)
        if seen is not None and seen.state == State.EXITED:
            workload.after_end(engine, seen)
        if workload.desired_status == DesiredStatus.RUNNING:
            return _towards_running(workload, engine, seen)
        if workload.desired_status == DesiredStatus.STOPPED:
            return _towards_stopped(workload, engine, seen)
        return _towards_deleted(workload, engine, seen)
    except EngineError as error:
        return _after_error(workload, error)
    except SecretError as error:
        sentence = str(error).removesuffix(" Try again.")
        return _after_error(workload, EngineError(sentence, reason=Reason.UNAVAILABLE))


def kill_now(workload: Workload, *, engine: Engine | None = None) -> None:
    """End the workload at once, whoever holds its lease. The wish that asked for it has raised the generation."""
    failpoint("reconcile.before_kill")
    (engine or engine_for(workload.node)).kill(workload.engine_name)
    failpoint("reconcile.after_kill")


# --- Towards running ----------------------------------------------------------------------------------------------


def _towards_running(workload: Workload, engine: Engine, seen: Observation | None) -> Step:
    if seen is not None and seen.is_running:
        if seen.generation < workload.generation:
            return _stop_step(workload, engine, seen, S.STOPPING)
        if seen.is_ending and workload.observed_status not in LIVE:
            return _await_end(workload)
        if _was_restarted(workload, engine, seen):
            return _restarted(workload, engine, seen)
        step = _watch(workload, engine, seen)
        step.is_adoption = workload.observed_status in (S.CRASHED, S.FAILED, S.LOST)
        return step
    if workload.observed_status == S.FAILED:
        return Step(S.FAILED, workload.status_reason, operation=OperationStatus.FAILED)
    if seen is not None and _is_starting(workload, engine, seen):
        return _await_start(workload, engine, seen)
    longest = crashes.LONGEST_WAIT_SECONDS
    if workload.restart_after and not clocks.is_over(workload.restart_after, farthest_seconds=longest):
        wait = (workload.restart_after - timezone.now()).total_seconds()
        return Step(S(workload.observed_status), workload.status_reason, check_in=wait)
    if workload.observed_status not in (S.CRASHED, S.LOST) and crashes.is_crash(workload, seen):
        return _crashed(workload, engine, seen)
    return _launch(workload, engine)


def _await_end(workload: Workload) -> Step:
    """Given up, or brought to rest with the hub, and within its grace: to adopt it now would make its end a crash."""
    status = S(workload.observed_status)
    if status == S.FAILED:
        return Step(status, workload.status_reason, operation=OperationStatus.FAILED)
    return Step(status, workload.status_reason, check_in=START_POLL_SECONDS)


def _watch(workload: Workload, engine: Engine, seen: Observation) -> Step:
    """A running workload: is it ready, is it still well?"""
    if seen.state == State.PAUSED:
        return Step(S.UNHEALTHY, "It was paused outside the hub.", check_in=settings.HUB_SWEEP_SECONDS)
    health = workload.check_health(engine, seen)
    changes: dict[str, Any] = {
        "started_at": seen.started_at,
        "exit_code": None,
        "oom_killed": False,
        "progress_percent": None,
        "restart_after": None,
        **_image_of(seen),
    }
    if health.is_ok:
        changes |= {"health_misses": 0, "facts": health.facts, "ready_deadline_at": None}
        return Step(
            S.RUNNING,
            health.detail or seen.detail,
            check_in=settings.HUB_SWEEP_SECONDS,
            operation=OperationStatus.DONE,
            changes=changes,
        )
    if workload.observed_status in (S.RUNNING, S.UNHEALTHY):
        return _missed(workload, health.detail, changes)
    latest = timezone.now() + timedelta(seconds=workload.ready_timeout_seconds)
    deadline = min(workload.ready_deadline_at or latest, latest)
    if timezone.now() < deadline:
        return Step(S.STARTING, health.detail, check_in=POLL_SECONDS, changes=changes | {"ready_deadline_at": deadline})
    reason = f"Not ready after {workload.ready_timeout_seconds} s: {health.detail}"
    return Step(S.UNHEALTHY, reason, check_in=steps.RETRY_SECONDS, operation=OperationStatus.FAILED, changes=changes)


def _missed(workload: Workload, detail: str, changes: dict[str, Any]) -> Step:
    misses = workload.health_misses + 1
    changes |= {"health_misses": misses}
    if workload.observed_status == S.RUNNING and misses < HEALTH_MISSES_ALLOWED:
        return Step(S.RUNNING, "", check_in=settings.HUB_SWEEP_SECONDS / HEALTH_MISSES_ALLOWED, changes=changes)
    reason = f"It runs but has not answered {misses} times in a row: {detail}"
    return Step(S.UNHEALTHY, reason, check_in=settings.HUB_SWEEP_SECONDS, changes=changes)


def _is_starting(workload: Workload, engine: Engine, seen: Observation) -> bool:
    """Whether the engine itself is bringing up what this wish has made."""
    is_made = seen.state == State.CREATED and seen.generation == workload.generation
    return is_made and engine.capabilities.restarts_by_itself and workload.observed_status in LIVE


def _await_start(workload: Workload, engine: Engine, seen: Observation) -> Step:
    """Made, and not yet running: say what it waits for; when its time is over, or waiting cannot help, take it back."""
    obstacle = seen.obstacle
    if obstacle is not None and (moved := move_away(workload, workload.addresses(), obstacle)):
        return moved
    seconds = workload.ready_timeout_seconds + START_SECONDS
    latest = timezone.now() + timedelta(seconds=seconds)
    deadline = min(workload.ready_deadline_at or latest, latest)
    is_hopeless = obstacle is not None and obstacle.permanent
    if not is_hopeless and timezone.now() < deadline:
        return Step(S.STARTING, seen.detail, check_in=START_POLL_SECONDS, changes={"ready_deadline_at": deadline})
    _take_back(workload, engine)
    why = obstacle.message if obstacle else seen.detail
    reason = why if is_hopeless else f"Not started after {seconds} s, and taken back: {why}"
    return Step(S.FAILED, reason, operation=OperationStatus.FAILED, changes=_ended(None))


def _take_back(workload: Workload, engine: Engine) -> None:
    """Remove what was made of a launch. A cluster may take its time: what has begun to go is as good as gone."""
    failpoint("reconcile.before_take_back")
    try:
        engine.remove(workload.engine_name, keep_data=True)
    except EngineError as error:
        if error.reason != Reason.TIMED_OUT:
            raise
        seen = engine.inspect(workload.engine_name)
        if seen is not None and seen.state != State.EXITED:
            raise
    failpoint("reconcile.after_take_back")


def _older_run(workload: Workload, engine: Engine) -> Observation | None:
    """What runs of an older wish after all: its engine has started it again since it was seen to have ended."""
    seen = engine.inspect(workload.engine_name)
    return seen if seen is not None and seen.is_running and seen.generation < workload.generation else None


def _take_back_own(workload: Workload, engine: Engine) -> None:
    """Leave nothing of a launch that was refused in its middle; what runs, or is of another wish, is not its own."""
    try:
        seen = engine.inspect(workload.engine_name)
        if seen is not None and not seen.is_running and seen.generation == workload.generation:
            _take_back(workload, engine)
    except EngineError as error:
        logger.warning("what is left of %s could not be taken back: %s", workload.engine_name, error)


def _was_restarted(workload: Workload, engine: Engine, seen: Observation) -> bool:
    """Whether the engine has started it again since it was last seen, which nobody has asked for."""
    if not engine.capabilities.restarts_by_itself or seen.generation != workload.generation:
        return False
    return workload.observed_status in LIVE and seen.restart_count > 0 and _is_a_later_start(workload, seen)


def _is_a_later_start(workload: Workload, seen: Observation) -> bool:
    """Whether it has been started once more since its start was noted."""
    noted = workload.started_at
    return noted is not None and seen.started_at is not None and seen.started_at > noted


def _restarted(workload: Workload, engine: Engine, seen: Observation) -> Step:
    """The engine restarts, the hub counts; giving up is the hub's."""
    crash = crashes.assess(workload, seen)
    if crash.given_up:
        return _crashed(workload, engine, seen)
    step = _watch(workload, engine, seen)
    step.reason = step.reason or crashes.name_cause(workload, seen)
    step.changes |= crash.counted
    return step


def _crashed(workload: Workload, engine: Engine, seen: Observation | None) -> Step:
    crash = crashes.assess(workload, seen)
    if crash.given_up and engine.capabilities.restarts_by_itself:
        failpoint("reconcile.before_give_up")
        engine.stop(workload.engine_name)
        failpoint("reconcile.after_give_up")
    changes = crash.counted | {
        "exit_code": seen.exit_code if seen else None,
        "oom_killed": bool(seen and seen.oom_killed),
        "restart_after": crash.restart_after,
        "progress_percent": None,
        "health_misses": 0,
        "ready_deadline_at": None,
    }
    if crash.given_up:
        return Step(S.FAILED, crash.reason, operation=OperationStatus.FAILED, changes=changes)
    status = S.CRASHED if seen else S.LOST
    return Step(status, crash.reason, again=crash.wait_seconds == 0, check_in=crash.wait_seconds, changes=changes)


def _launch(workload: Workload, engine: Engine) -> Step:
    wanted = workload.ports_wanted()
    addresses = give_back_unwanted(workload, wanted, list(workload.addresses()))
    missing = [port for port in wanted if port.name not in {address.port_name for address in addresses}]
    if missing:
        return lease_missing(workload, missing)
    if any(port.kind == PoolKind.LOAD_BALANCER for port in wanted):
        failpoint("reconcile.before_hold")
        engine.hold_addresses(ips.all_of(workload.node))
        failpoint("reconcile.after_hold")
    if obstacle := probe(engine, addresses):
        failed = Step(S.FAILED, str(obstacle), operation=OperationStatus.FAILED)
        return move_away(workload, addresses, obstacle) or failed
    operations.begin(workload)
    workload.prepare_launch()
    spec = workload.build_spec(addresses, engine)
    if engine.capabilities.images:
        spec = _provide_image(workload, engine, spec)
    launched = workload.begin_launch(engine)
    failpoint("reconcile.before_ensure")
    try:
        seen = engine.ensure(spec)
    except EngineError as error:
        if moved := move_away(workload, addresses, error):
            return moved
        if error.permanent and (older := _older_run(workload, engine)):
            return _stop_step(workload, engine, older, S.STOPPING)
        if error.permanent:
            _take_back_own(workload, engine)
        raise
    failpoint("reconcile.after_ensure")
    workload.addresses().filter(proven_at=None).update(proven_at=Now())
    own_time = START_SECONDS if seen.state == State.CREATED else 0
    deadline = timezone.now() + timedelta(seconds=workload.ready_timeout_seconds + own_time)
    changes = {
        "started_at": seen.started_at,
        "ready_deadline_at": deadline,
        "restart_after": None,
        **_image_of(seen),
        "progress_percent": None,
        "health_misses": 0,
        "exit_code": None,
        "oom_killed": False,
        **launched,
    }
    return Step(S.STARTING, "Waiting until it answers.", check_in=0.1, changes=changes)


def _provide_image(workload: Workload, engine: Engine, spec: WorkloadSpec) -> WorkloadSpec:
    """Have the image on the node, and nail the launch to what was found there.

    A launch that nobody asked for (after a crash, a restart of the node, a container removed by hand) takes the image
    of the one before, so that a server never changes its version in the night because a tag has moved.
    """
    failpoint("reconcile.before_pull")
    image = workload.image_pinned or spec.image
    began = time.monotonic()

    def note(event: PullProgress) -> bool:
        return _has_time(workload, began, event) and _note_progress(workload, event)

    names = (image, *(sidecar.image for sidecar in spec.sidecars))
    try:
        digests = [engine.pull(name, progress=note) for name in names]
    finally:
        if (took := time.monotonic() - began) > WORTH_NOTING_SECONDS:
            operations.add_pull(workload, took)
    failpoint("reconcile.after_pull")
    sidecars = [
        replace(sidecar, image=engine.pin(sidecar.image, digest))
        for sidecar, digest in zip(spec.sidecars, digests[1:], strict=True)
    ]
    return replace(spec, image=engine.pin(image, digests[0]), sidecars=sidecars)


def _has_time(workload: Workload, began: float, event: PullProgress) -> bool:
    """Whether the pull goes on here."""
    limit, silent_limit = workload.pull_seconds, workload.pull_silent_seconds
    is_over = limit is not None and time.monotonic() - began >= limit
    is_too_silent = silent_limit is not None and event.silent_seconds >= silent_limit
    workload.is_handed_over = is_over or is_too_silent
    return not workload.is_handed_over


def _image_of(seen: Observation) -> dict[str, Any]:
    """What to note of the image behind a run."""
    return {"image_digest": seen.image_digest, "image_pinned": seen.image} if seen.image else {}


def _note_progress(workload: Workload, event: PullProgress) -> bool:
    return renew(
        workload, observed_status=S.PULLING, status_reason=event.message, progress_percent=event.percent
    ) and _remember(workload, S.PULLING)


def _remember(workload: Workload, status: ObservedStatus) -> bool:
    workload.observed_status = status
    return True


# --- Towards stopped and deleted ----------------------------------------------------------------------------------


def _towards_stopped(workload: Workload, engine: Engine, seen: Observation | None) -> Step:
    if seen is not None and seen.is_running:
        return _stop_step(workload, engine, seen, S.STOPPING)
    if seen is not None and engine.capabilities.restarts_by_itself:
        failpoint("reconcile.before_call_off")
        engine.stop(workload.engine_name)  # or the engine starts it all the same, once it can, or again after its end
        failpoint("reconcile.after_call_off")
    changes = _ended(seen)
    return Step(S.STOPPED, "", operation=OperationStatus.DONE, changes=changes)


def _towards_deleted(workload: Workload, engine: Engine, seen: Observation | None) -> Step:
    if seen is not None and seen.is_running:
        return _stop_step(workload, engine, seen, S.DELETING)
    failpoint("reconcile.before_remove")
    engine.remove(workload.engine_name)
    failpoint("reconcile.after_remove")
    if engine.inspect(workload.engine_name) is not None:
        return Step(S.DELETING, "Waiting until the engine has removed it.", check_in=POLL_SECONDS)
    changes = {**_ended(seen), "deleted_at": Now()}
    return Step(S.DELETED, "", operation=OperationStatus.DONE, changes=changes)


def _stop_step(workload: Workload, engine: Engine, seen: Observation, status: ObservedStatus) -> Step:
    """Begin to stop, wait, or kill at the deadline: whichever is due."""
    now = timezone.now()
    if workload.is_kill_wanted or _has_had_its_time(workload):
        kill_now(workload, engine=engine)
        reason = "Killed." if workload.is_kill_wanted else "It did not end in time and was killed."
        return Step(status, reason, check_in=0.1, operation=OperationStatus.RUNNING)
    is_asked = workload.stop_deadline_at is not None
    if is_asked and not (engine.capabilities.restarts_by_itself and _is_a_later_start(workload, seen)):
        return Step(status, workload.status_reason, check_in=POLL_SECONDS)
    failpoint("reconcile.before_stop")
    if is_asked:
        engine.stop(workload.engine_name)  # it has ended as its console told it, and the engine has started it again
    else:
        workload.begin_stop(engine, seen)
    failpoint("reconcile.after_stop")
    return Step(
        status,
        f"Asked to end; killed after {workload.stop_grace_seconds} s.",
        check_in=0.2,
        operation=OperationStatus.RUNNING,
        changes={
            "stop_deadline_at": now + timedelta(seconds=workload.stop_grace_seconds),
            "started_at": seen.started_at,
        },
    )


def _has_had_its_time(workload: Workload) -> bool:
    deadline, grace = workload.stop_deadline_at, workload.stop_grace_seconds
    return deadline is not None and clocks.is_over(deadline, farthest_seconds=grace + SPARE_SECONDS)


def _ended(seen: Observation | None) -> dict[str, Any]:
    return {
        "exit_code": seen.exit_code if seen else None,
        "oom_killed": bool(seen and seen.oom_killed),
        "stop_deadline_at": None,
        "ready_deadline_at": None,
        "restart_after": None,
        "progress_percent": None,
        "health_misses": 0,
        "started_at": None,
        "facts": {},
    }


# --- When the engine cannot ---------------------------------------------------------------------------------------


def _after_error(workload: Workload, error: EngineError) -> Step:
    """Permanent errors end the wish with their reason; others are tried again and shown meanwhile.

    A registry that does not answer is one of the others, but not for ever: unlike an engine it may never have existed.
    """
    status = S(workload.observed_status)
    if status not in LIVE and workload.desired_status == DesiredStatus.RUNNING:
        reason = str(error) if error.permanent else ""
        if error.reason == Reason.IMAGE_MISSING and operations.is_older_than(workload, PULL_PATIENCE):
            reason = f"{error} Given up after {PULL_PATIENCE.seconds // 60} minutes."
        if reason:
            return Step(S.FAILED, reason, operation=OperationStatus.FAILED, changes={"progress_percent": None})
    if error.reason == Reason.CANCELLED and workload.is_handed_over:
        return Step(S.PULLING, "Pulling goes on in a moment.", check_in=HANDED_OVER_SECONDS)
    if error.reason == Reason.CANCELLED:
        return Step(S.QUEUED, "", again=True)
    if status in (S.STOPPED, S.FAILED) and workload.desired_status == DesiredStatus.RUNNING:
        status = S.QUEUED
    if workload.desired_status == DesiredStatus.DELETED:
        status = S.DELETING
    return Step(status, f"{error} The hub tries again.", check_in=steps.RETRY_SECONDS)
