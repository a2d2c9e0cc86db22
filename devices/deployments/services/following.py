"""What the clock does with deployments: begin, give up, close, send back what failed. Each step may be repeated."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.actors import SCHEDULER
from devices.deployments import moves
from devices.deployments.choices import (
    DEPLOYMENT_TRANSITIONS,
    UNTOUCHED,
    DeploymentKind,
    DeploymentStatus,
    ErrorCode,
    TargetStatus,
)
from devices.deployments.models import Deployment, DeploymentTarget, TargetEvent
from devices.models import Device
from hub.exceptions import Conflict

from .creation import Terms, lock_deployments, supersede
from .rollback import rollback_devices

T = TargetStatus
MOST_AT_ONCE = 1000


def follow_deployments() -> None:
    """One pass over all that is under way."""
    begin_due()
    give_up_late()
    send_back_failed()
    Deployment.objects.all().complete().update(status=DeploymentStatus.FINISHED, finished_at=Now())


def begin_due() -> None:
    """Begin the scheduled ones whose time has come."""
    for key in list(Deployment.objects.all().due().order_by("starts_at").values_list("pk", flat=True)):
        with transaction.atomic():
            lock_deployments()
            locked = Deployment.objects.all().due().select_for_update(no_key=True).filter(pk=key).first()
            if locked is None:
                continue
            rows = locked.targets.filter(status=T.SCHEDULED)
            supersede(list(rows.values_list("device_id", flat=True)), locked)
            rows.update(status=T.WAITING)
            DEPLOYMENT_TRANSITIONS.apply(locked, DeploymentStatus.RUNNING, started_at=Now())


def give_up_late() -> None:
    """Give up what a device had time enough for; it may be tried again."""
    for key in list(DeploymentTarget.objects.all().late().values_list("pk", flat=True)[:MOST_AT_ONCE]):
        with transaction.atomic():
            rows = DeploymentTarget.objects.all().late().select_related("deployment", "bundle")
            target = rows.select_for_update(of=("self",), no_key=True, skip_locked=True).filter(pk=key).first()
            if target is None:
                continue
            if target.status == T.CANCELLING:
                moves.move(
                    target, T.CANCELLED, f"The device did not answer within {settings.HUB_DEPLOYMENT_DAYS} days."
                )
                continue
            if target.status == T.SOAKING:
                text = "Nothing was heard of the device after its soak time."
            elif target.status == T.WAITING:
                text = f"The device did not take it within {settings.HUB_DEPLOYMENT_DAYS} days."
            elif target.status == T.OFFERED:
                text = "Nothing was heard of the device after it was offered it."
            else:
                text = "The device did not finish in time."
            moves.fail(target, ErrorCode.TIMEOUT, text, _now())


def send_back_failed() -> None:
    """Send devices back on which an update failed that says so; once each, and not where nothing was changed yet."""
    sent = DeploymentTarget.objects.filter(
        device=OuterRef("device"), deployment__parent=OuterRef("deployment"), deployment__kind=DeploymentKind.ROLLBACK
    )
    begun = TargetEvent.objects.filter(target=OuterRef("pk"), status__in=(T.INSTALLING, T.SOAKING))
    failed = DeploymentTarget.objects.exclude(error_code__in=UNTOUCHED).filter(
        ~Exists(sent),
        ~Q(error_code=ErrorCode.TIMEOUT) | Exists(begun),
        status=T.FAILED,
        deployment__rolls_back_on_failure=True,
        deployment__kind=DeploymentKind.UPDATE,
        finished_at__gt=_now() - timedelta(hours=1),
    )
    by_deployment: dict[UUID, list[UUID]] = {}
    for deployment_id, device_id in failed.values_list("deployment_id", "device_id")[:MOST_AT_ONCE]:
        by_deployment.setdefault(deployment_id, []).append(device_id)
    for deployment_id, devices in by_deployment.items():
        parent = Deployment.objects.get(pk=deployment_id)
        terms = Terms(
            description=f"Automatic: {parent} failed.",
            timeout_seconds=parent.timeout_seconds,
            soak_seconds=parent.soak_seconds,
        )
        rows = Device.objects.filter(pk__in=devices)
        try:
            rollback_devices(rows, actor=SCHEDULER, terms=terms, failed=parent.bundle, parent=parent)
        except Conflict:  # there is nothing to go back to: said on the page of each device
            continue


def _now() -> datetime:
    return timezone.now()
