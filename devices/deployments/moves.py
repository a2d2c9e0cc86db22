"""Moves of one target: each checks the table, writes only if the row still stands where it was, and leaves a record.

Callers hold the row's lock or have just read it; when somebody else was quicker a move answers False and does nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from devices.models import DeviceBeat

from .choices import (
    ENDED,
    ERROR_LENGTH,
    OUTPUT_LENGTH,
    RETRIED,
    RETRY_SECONDS,
    TARGET_TRANSITIONS,
    DeploymentKind,
    DeploymentStatus,
    ErrorCode,
    TargetStatus,
)
from .models import Deployment, DeploymentTarget, TargetEvent

T = TargetStatus


def move(target: DeploymentTarget, status: str, message: str = "", **values: Any) -> bool:
    """Move a target and note it; a move to an end closes the deployment when it was the last."""
    if status in ENDED:
        values = {"finished_at": Now(), "lease_until": None, "deadline_at": None, **values}
    if not TARGET_TRANSITIONS.apply(target, status, **values):
        return False
    TargetEvent.objects.create(target=target, status=status, message=message[:500])
    if status in ENDED:
        close_if_complete(target.deployment_id)
    return True


def close_if_complete(deployment_id: Any) -> None:
    """Finish a deployment of which no target is open; the periodic job finds those where two ended at once."""
    Deployment.objects.filter(pk=deployment_id).complete().update(status=DeploymentStatus.FINISHED, finished_at=Now())


def begin_work(target: DeploymentTarget, status: str, now: datetime, message: str = "") -> bool:
    """The device works on it: from the first word on it has so long for the attempt."""
    deadline = target.deadline_at or now + timedelta(seconds=target.deployment.timeout_seconds)
    return move(target, status, message, deadline_at=deadline, lease_until=None)


def installed(target: DeploymentTarget, now: datetime, output: str = "") -> bool:
    """The device says that it is installed. That is proven only after the soak time, if there is one."""
    output = output[-OUTPUT_LENGTH:]
    soak = target.deployment.soak_seconds
    if soak and target.status not in (T.CANCELLING, T.FAILED):
        until = now + timedelta(seconds=soak)
        return move(target, T.SOAKING, f"Must be well for {soak} s.", soak_until=until, deadline_at=None, output=output)
    return succeed(target, output=output)


def succeed(target: DeploymentTarget, message: str = "", **values: Any) -> bool:
    """It runs the bundle. What a rollback replaces is no last good one any more."""
    values = {"error_code": "", "error_message": "", **values}
    if not move(target, T.SUCCEEDED, message, **values):
        return False
    DeviceBeat.objects.filter(device=target.device_id).update(bundle_version=target.bundle.version)
    if target.deployment.kind == DeploymentKind.ROLLBACK:
        before = DeploymentTarget.objects.filter(device=target.device_id, bundle__version=target.from_version)
        before = before.good().exclude(bundle=target.bundle_id)
        for other in before.filter(bundle__in=before.values("bundle")[:1]):  # another bundle may have this version, too
            move(other, T.ROLLED_BACK, f"Rolled back to {target.bundle.version}.", finished_at=F("finished_at"))
    return True


def fail(target: DeploymentTarget, code: str, message: str, now: datetime, output: str = "") -> bool:
    """It did not work: tried again when that may help and no newer wish waits, else over."""
    error = {
        "error_code": code,
        "error_message": message[:ERROR_LENGTH],
        "output": output[-OUTPUT_LENGTH:] or target.output,
    }
    if _is_tried_again(target, code):
        wait = min(RETRY_SECONDS[0] * 2 ** (target.attempt - 1), RETRY_SECONDS[1])
        again = {"attempt": target.attempt + 1, "offers": 0, "not_before": now + timedelta(seconds=wait)}
        text = f"{message or code} Tried again in {wait} s."
        return move(target, T.WAITING, text, lease_until=None, deadline_at=None, **again, **error)
    return move(target, T.FAILED, message or ErrorCode(code).label, **error)


def _is_tried_again(target: DeploymentTarget, code: str) -> bool:
    if code not in RETRIED or target.attempt >= target.deployment.max_attempts:
        return False
    if target.status not in (T.OFFERED, T.DOWNLOADING, T.INSTALLING):
        return False
    waits = DeploymentTarget.objects.filter(device=target.device_id, status=T.WAITING)
    return target.deployment.status == DeploymentStatus.RUNNING and not waits.exists()
