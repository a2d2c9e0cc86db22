"""What devices say about their work: counted once, whatever comes late or twice, and refused from strangers."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from hub.exceptions import Conflict, HubError, Invalid, NotAllowed, NotFound, TooMany
from hub.failpoints import declare, failpoint

from . import moves
from .choices import ERROR_LENGTH, FINAL, INTERMEDIATE, MOST_REPORTS, OUTPUT_LENGTH, ErrorCode, Reported, TargetStatus
from .models import Deployment, DeploymentTarget, TargetEvent

declare("devices.result_taken", "devices.result_stored")
T, R = TargetStatus, Reported
GOOD = (R.INSTALLED, R.SUCCESS)


class Closed(HubError):
    """It has ended, so what is on the way does not matter any more."""

    code = "closed"
    status = 410


def report_result(
    device_id: UUID,
    deployment_id: UUID,
    *,
    status: str,
    error_message: str = "",
    error_code: str = "",
    progress_percent: int | None = None,
    output: str = "",
) -> tuple[DeploymentTarget, bool]:
    """Take a device's word; answers its target, and whether this word has changed anything.

    400 for a status that there is not, 404 for an unknown deployment, 403 for a device that is not among its targets,
    409 when it was called off, 410 for progress after the end, 429 for too many words on the way.
    """
    if status not in Reported.values:
        raise Invalid(f"Report one of {', '.join(Reported.values)}.", field="status")
    code = error_code if error_code in ErrorCode.values else ErrorCode.OTHER
    with transaction.atomic():
        target = _lock(device_id, deployment_id)
        now: datetime = target.now
        if status not in FINAL:
            return target, _on_the_way(target, Reported(status), now, error_message, progress_percent)
        counted = _final(target, Reported(status), now, code, error_message[:ERROR_LENGTH], output[-OUTPUT_LENGTH:])
        failpoint("devices.result_taken")
    failpoint("devices.result_stored")
    return target, counted


def _lock(device_id: UUID, deployment_id: UUID) -> Any:
    rows = DeploymentTarget.objects.select_related("deployment", "bundle").select_for_update(of=("self",), no_key=True)
    target = rows.filter(device=device_id, deployment=deployment_id).annotate(now=Now()).first()
    if target is not None:
        return target
    if Deployment.objects.filter(pk=deployment_id).exists():
        raise NotAllowed("This device is not among its targets.", code="not_a_target")
    raise NotFound("There is no such deployment.")


def _on_the_way(target: DeploymentTarget, word: Reported, now: datetime, message: str, percent: int | None) -> bool:
    if target.status in (T.CANCELLING, T.CANCELLED, T.SUPERSEDED):
        raise Conflict("It was called off. Stop, and report `cancelled`.", code="called_off")
    if target.is_ended or target.status == T.SOAKING:
        raise Closed("It has ended.")
    if target.reports >= MOST_REPORTS:
        raise TooMany("That was said often enough.", code="too_many_reports", retry_after=60)
    DeploymentTarget.objects.filter(pk=target.pk).update(reports=F("reports") + 1, progress_percent=percent)
    status = INTERMEDIATE[word]
    if target.status == status:
        if word == R.RESTARTING and not target.events.filter(message=word.label).exists():
            TargetEvent.objects.create(target=target, status=status, message=word.label)
        return False
    if target.status == T.WAITING:  # an attempt that was given up goes on: it is the one
        _refuse_beside_another(target)
        target.deadline_at = None
    return moves.begin_work(target, status, now, message or word.label)


def _final(target: DeploymentTarget, word: Reported, now: datetime, code: str, message: str, output: str) -> bool:
    if word == R.ROLLED_BACK:
        return _fell_back(target, message)
    if target.status == T.CANCELLED or target.status == T.SUPERSEDED:
        raise Conflict("It was called off before.", code="called_off")
    if target.status == T.FAILED and target.error_code == ErrorCode.TIMEOUT and word in GOOD:
        if _has_newer_success(target):
            return False  # too late to be what it runs
        return moves.succeed(target, "It answered after it was given up.", output=output)
    if target.is_ended or target.status == T.SOAKING:
        if target.status == T.SOAKING and word == R.FAILED:
            return moves.fail(target, code, message, now, output)
        return False  # said before
    if word in GOOD:
        if target.status == T.WAITING:
            _refuse_beside_another(target)
        return moves.installed(target, now, output)
    if word == R.CANCELLED:
        if target.status != T.CANCELLING:
            raise Conflict("Nobody has called it off.", code="not_cancelling")
        return moves.move(target, T.CANCELLED, message or "The device has stopped.")
    if target.status == T.CANCELLING:
        return moves.move(target, T.CANCELLED, message or "The device has stopped.", error_code=code)
    if target.status == T.WAITING:
        return False  # of an attempt that was given up already
    return moves.fail(target, code, message, now, output)


def _has_newer_success(target: DeploymentTarget) -> bool:
    """Whether something that was asked for later has been proven on the device."""
    return DeploymentTarget.objects.filter(device=target.device_id, status=T.SUCCEEDED, pk__gt=target.pk).exists()


def _refuse_beside_another(target: DeploymentTarget) -> None:
    """A device works on one deployment at a time."""
    if DeploymentTarget.objects.filter(device=target.device_id).active().exists():
        raise Conflict("Another deployment is under way on this device.", code="busy")


def _fell_back(target: DeploymentTarget, message: str) -> bool:
    """A device went back by itself, perhaps long after its success."""
    if target.status in (T.ROLLED_BACK, T.FAILED, T.CANCELLED, T.SUPERSEDED):
        return False
    return moves.move(target, T.ROLLED_BACK, message or "The device went back by itself.", error_message=message)
