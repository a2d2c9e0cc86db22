"""From what Docker tells about a container to an `Observation`."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..base import (
    LABEL_EXPIRES,
    LABEL_GENERATION,
    LABEL_ID,
    LABEL_KIND,
    LABEL_OWNER,
    LABEL_TEAM,
    Observation,
    State,
)
from .names import LABEL_DIGEST, LABEL_IMAGE, load_ports

OUR_LABELS = (LABEL_KIND, LABEL_ID, LABEL_GENERATION, LABEL_OWNER, LABEL_TEAM, LABEL_EXPIRES)
STATES = {"created": State.CREATED, "running": State.RUNNING, "restarting": State.RUNNING, "paused": State.PAUSED}
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
RESTORE_SECONDS = 60.0
SIGNALS = 32
EXPLAINED = {
    126: "Its command cannot be executed.",
    127: "Its command was not found in the image.",
    -signal.SIGXFSZ: "It wrote a file larger than its disk limit.",
}


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether labels are those of a workload."""
    try:
        uuid.UUID(labels[LABEL_ID])
        return bool(labels[LABEL_KIND]) and int(labels[LABEL_GENERATION]) >= 0
    except (KeyError, ValueError):
        return False


def generation_of(container: Mapping[str, Any]) -> int:
    return int(container["Config"]["Labels"][LABEL_GENERATION])


def observation(container: Mapping[str, Any], *, daemon_started_at: datetime | None, detail: str = "") -> Observation:
    """One workload, from its container's inspection; `detail` is what else there is to say about it."""
    labels, facts = container["Config"]["Labels"], container["State"]
    state = STATES.get(facts["Status"], State.EXITED)
    started_at, finished_at = moment(facts["StartedAt"]), moment(facts["FinishedAt"])
    exit_code = exit_code_of(facts["ExitCode"]) if state is State.EXITED else None
    is_over = state is State.EXITED
    if started_at and finished_at and is_over:
        finished_at = max(started_at, finished_at)  # Docker notes the end of a short run before its beginning
    return Observation(
        kind=labels[LABEL_KIND],
        id=uuid.UUID(labels[LABEL_ID]),
        generation=int(labels[LABEL_GENERATION]),
        state=state,
        host=_host(container) if state in (State.RUNNING, State.PAUSED) else "",
        started_at=started_at,
        finished_at=finished_at if is_over else None,
        exit_code=exit_code,
        oom_killed=is_over and bool(facts["OOMKilled"]),
        engine_restarted=is_over
        and not facts["OOMKilled"]
        and ended_with_daemon(started_at, finished_at, daemon_started_at),
        restart_count=int(container.get("RestartCount", 0)),
        detail=facts["Error"] or EXPLAINED.get(exit_code or 0, detail),
        ports=load_ports(labels),
        image=labels.get(LABEL_IMAGE, ""),
        image_digest=labels.get(LABEL_DIGEST, ""),
        labels={label: labels[label] for label in OUR_LABELS if label in labels},
    )


def ended_with_daemon(
    started_at: datetime | None, finished_at: datetime | None, daemon_started_at: datetime | None
) -> bool:
    """Whether a restart of the daemon, or of the host below it, explains an exit.

    A daemon ends its containers when it goes, and what it finds when it comes was ended by its death; so an exit that
    was not seen while a daemon still ran is the daemon's. That is: begun before this daemon began, and over before it
    was ready. A crash just before a restart is taken for one; it costs the workload nothing. With live-restore the
    daemon keeps its first moment, and what runs through is never counted here.
    """
    if started_at is None or daemon_started_at is None or started_at >= daemon_started_at:
        return False
    return finished_at is None or finished_at <= daemon_started_at + timedelta(seconds=RESTORE_SECONDS)


def exit_code_of(code: int) -> int:
    """128 + n is how an init, a shell and Docker itself tell an end by signal n."""
    return 128 - code if 128 < code <= 128 + SIGNALS else code


def moment(text: str) -> datetime | None:
    """One of Docker's times, which carry nanoseconds; None for its zero."""
    parsed = datetime.fromisoformat(text) if text else NEVER
    return parsed if parsed > NEVER else None


def _host(container: Mapping[str, Any]) -> str:
    """Where the agent reaches the workload on its own network."""
    for network in (container["NetworkSettings"].get("Networks") or {}).values():
        if address := network.get("IPAddress") or network.get("GlobalIPv6Address"):
            return str(address)
    return ""
