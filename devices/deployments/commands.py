"""What a heartbeat tells a device about its work: offered under a lease, offered again when nothing came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle
from devices.choices import Health
from devices.models import Device
from devices.offers import Command, Source
from devices.packaging.manifest import is_older
from devices.reports import Report
from hub.statements import column_names, statement

from . import moves
from .choices import (
    ACTIVE,
    CONCERNS_DEVICE,
    ERROR_LENGTH,
    MOST_OFFERS,
    DeploymentKind,
    DeploymentStatus,
    ErrorCode,
    TargetStatus,
)
from .models import Deployment, DeploymentTarget
from .suits import candidates

T = TargetStatus
SAMPLE_DEVICE = UUID(int=1)
TARGET, DEPLOYMENT, BUNDLE = (column_names(model) for model in (DeploymentTarget, Deployment, Bundle))
_STATUSES = ", ".join(f"'{status.value}'" for status in CONCERNS_DEVICE)
SOURCE = Source(
    name="deployments",
    exists=(
        "EXISTS (SELECT FROM devices_deploymenttarget target"
        f" WHERE target.device_id = beat.device_id AND target.status IN ({_STATUSES}))"
    ),
    fetch=lambda device_id, report: commands_for(device_id, report),
)


def commands_for(device_id: UUID, report: Report) -> list[Command]:
    """The command for this device, if there is one now. Judges what is proving itself by what the device says."""
    try:
        with transaction.atomic():
            command = _next_command(device_id, report)
    except IntegrityError:  # another one of this device became active in between: the next heartbeat looks again
        return []
    return [command] if command is not None else []


def _next_command(device_id: UUID, report: Report) -> Command | None:
    found, now = _lock_targets(device_id)
    active = next((each for each in found if each.status in ACTIVE), None)
    waiting = next((each for each in found if each.status == T.WAITING), None)
    if active is not None:
        command = _go_on(active, report, now, is_last=waiting is None)
        if command is not None or active.status in ACTIVE:
            return command
    return _offer_first(waiting, now, report) if waiting is not None else None


def _lock_targets(device_id: UUID) -> tuple[list[DeploymentTarget], datetime]:
    """What concerns a device, locked, with deployment and bundle; and the database's time."""
    kept = statement("devices.targets_to_answer", _targets_to_answer, SAMPLE_DEVICE)
    found, now = [], timezone.now()
    for row in kept.rows(device_id):
        target = DeploymentTarget.from_db(kept.alias, TARGET, row[: len(TARGET)])
        target.deployment = Deployment.from_db(kept.alias, DEPLOYMENT, row[len(TARGET) : -len(BUNDLE) - 1])
        target.bundle = Bundle.from_db(kept.alias, BUNDLE, row[-len(BUNDLE) - 1 : -1])
        now = row[-1]
        found.append(target)
    return found, now


def _targets_to_answer(device_id: UUID) -> QuerySet[DeploymentTarget, Any]:
    rows = DeploymentTarget.objects.filter(device=device_id, status__in=CONCERNS_DEVICE).order_by("id")
    names = [*TARGET, *(f"deployment__{name}" for name in DEPLOYMENT), *(f"bundle__{name}" for name in BUNDLE)]
    return rows.select_for_update(of=("self",), no_key=True).values_list(*names, Now())


def _go_on(target: DeploymentTarget, report: Report, now: datetime, *, is_last: bool) -> Command | None:
    """What becomes of one that was begun; `is_last` when no newer one waits."""
    if target.status == T.SOAKING:
        judge(target, report, now)
    elif target.status == T.CANCELLING:
        return {"type": "cancel", **_ids(target)}
    elif target.status == T.OFFERED and target.lease_until is not None and target.lease_until < now:
        if target.offers >= MOST_OFFERS:
            moves.fail(target, ErrorCode.TIMEOUT, "The device was offered it often and never answered.", now)
        elif target.bundle.status != BundleStatus.READY:
            moves.fail(target, ErrorCode.INVALIDATED, "The bundle was invalidated.", now)
        elif target.deployment.is_window_open(now):
            return _offer(target, now)
        elif is_last:
            moves.move(target, T.WAITING, "Nothing was heard of it before its window closed.", lease_until=None)
    elif target.deadline_at is not None and target.deadline_at < now:
        moves.fail(target, ErrorCode.TIMEOUT, "The device did not finish in time.", now)
    return None


def _offer_first(target: DeploymentTarget, now: datetime, report: Report) -> Command | None:
    """Offer one that waits, unless it is not its time."""
    deployment = target.deployment
    if deployment.status != DeploymentStatus.RUNNING or (target.not_before and target.not_before > now):
        return None
    if not deployment.is_window_open(now):
        return None
    if target.bundle.status != BundleStatus.READY:
        moves.move(target, T.FAILED, "The bundle was invalidated.", error_code=ErrorCode.INVALIDATED)
        return None
    if _would_be_older(target, report):
        text = f"The device runs {report.bundle_version} by now, which is newer."
        moves.move(target, T.SUPERSEDED, text, error_message=text[:ERROR_LENGTH])
        return None
    if report.bundle_version and target.attempt == 1:
        target.from_version = report.bundle_version
    return _offer(target, now)


def _would_be_older(target: DeploymentTarget, report: Report) -> bool:
    """Whether it has become a downgrade since it was asked for: it was scheduled, or waited for another deployment."""
    running = report.bundle_version
    if not running or target.deployment.allow_downgrade or not is_older(target.bundle.version, running):
        return False
    device: Any = Device.objects.filter(pk=target.device_id)
    return replace(candidates(device)[0], running=running).goes_back(target.bundle)


def _offer(target: DeploymentTarget, now: datetime) -> Command | None:
    lease = now + timedelta(seconds=target.deployment.timeout_seconds)
    message = "Offered." if target.offers == 0 else "Offered again: nothing was heard of it."
    values = {"lease_until": lease, "offered_at": Now(), "offers": F("offers") + 1, "from_version": target.from_version}
    if not moves.move(target, T.OFFERED, message, **values):
        return None
    bundle = target.bundle
    return {
        # A rollback is delivered as one, so that the agent runs the script for it.
        "type": "rollback" if target.deployment.kind == DeploymentKind.ROLLBACK else "deploy",
        **_ids(target),
        "bundle_id": str(bundle.pk),
        "bundle_name": bundle.name,
        "bundle_version": bundle.version,
        "checksum_sha256": bundle.sha256,
        "size_bytes": bundle.size_bytes,
        "timeout_seconds": target.deployment.timeout_seconds,
        "work_url": f"/api/v1/deployments/{target.deployment_id}/work",
    }


def _ids(target: DeploymentTarget) -> dict[str, Any]:
    return {"deployment_id": str(target.deployment_id), "number": target.number, "attempt": target.attempt}


def judge(target: DeploymentTarget, report: Report, now: datetime) -> None:
    """Whether a device that has installed it proves itself: it runs the version and is well, until the time is over."""
    if report.bundle_version is not None and report.bundle_version != target.bundle.version:
        text = f"It says that it runs {report.bundle_version[:100] or 'nothing'}."
        moves.fail(target, ErrorCode.WRONG_VERSION, text, now)
    elif report.health == Health.ERROR:
        moves.fail(target, ErrorCode.UNHEALTHY, "The device was not well after the update.", now)
    elif target.soak_until is not None and target.soak_until <= now:
        moves.succeed(target, "It ran the version and was well for the soak time.")
