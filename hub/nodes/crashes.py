"""Tell a crash from an intended end, name its cause, and decide when to restart or give up."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from hub.engines.base import Observation, State

from .choices import LIVE, ObservedStatus
from .workloads import Workload

FIRST_WAIT_SECONDS = 5
LONGEST_WAIT_SECONDS = 300
GIVE_UP_AFTER = 8
WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class Crash:
    """One crash, those of the hour before it, and what follows from them."""

    reason: str
    times: list[datetime]
    wait_seconds: float
    restart_after: datetime | None
    given_up: bool = False

    @property
    def counted(self) -> dict[str, Any]:
        """What the workload's row is to know of the crashes that count."""
        return {
            "crash_times": self.times,
            "restart_count": len(self.times),
            "restart_window_at": self.times[-1] if self.times else None,
        }


def is_crash(workload: Workload, seen: Observation | None) -> bool:
    """Whether what is there now can only come from an end that nobody asked for.

    An exit of the present generation is one. So is the absence of a workload that was seen alive. A workload that was
    made and never ran, or that an older wish ended, is not.
    """
    if seen is None:
        return workload.observed_status in LIVE
    return seen.state == State.EXITED and seen.generation == workload.generation


def assess(workload: Workload, seen: Observation | None) -> Crash:
    """Count the crash and choose the wait: 5 s doubling to 5 min, given up after 8 in an hour.

    A restart of the engine or the host itself costs nothing of that budget.
    """
    now = timezone.now()
    before = _counted_before(workload)
    if seen is not None and seen.engine_restarted:
        return Crash("Its engine or machine was restarted.", before, 0, None)
    times = [now, *(at for at in before if now - at < WINDOW)]
    count = len(times)
    cause = name_cause(workload, seen)
    if count >= GIVE_UP_AFTER:
        reason = f"{cause} Given up after {count} crashes within an hour; start it again once the cause is mended."
        return Crash(reason, times, 0, None, given_up=True)
    wait = min(FIRST_WAIT_SECONDS * 2 ** (count - 1), LONGEST_WAIT_SECONDS)
    reason = f"{cause} Restart {count} of {GIVE_UP_AFTER - 1} after {wait} s."
    return Crash(reason, times, wait, now + timedelta(seconds=wait))


def _counted_before(workload: Workload) -> list[datetime]:
    """When the crashes were that `restart_count` counts, newest first.

    The version before writes the count and the first crash of its window alone: a crash whose own time is not known is
    taken for as old as that one, and times that it no longer counts are left out.
    """
    count, first_at = workload.restart_count, workload.restart_window_at
    if first_at is None:
        return []
    known = [at for at in workload.crash_times if at >= first_at][:count]
    return known + [first_at] * (count - len(known))


def name_cause(workload: Workload, seen: Observation | None) -> str:
    """What ended it, in a sentence a user understands."""
    if seen is None:
        return "It was removed outside the hub."
    if seen.oom_killed:
        return f"Out of memory: it needed more than its {workload.memory_mb} MB."
    if cause := seen.restart_cause or seen.detail:
        return cause if cause.endswith(".") else f"{cause}."
    before = " before it was ready" if workload.observed_status == ObservedStatus.STARTING else ""
    if seen.exit_code is None:
        return f"It ended{before}; its exit code was not seen."
    if seen.exit_code < 0:
        return f"It was ended{before} by {_signal_name(-seen.exit_code)}."
    return f"It ended by itself{before} with exit code {seen.exit_code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
