"""Call deployments off, end what a device does not answer about, and try again what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.permissions import require
from devices.deployments import moves, suits
from devices.deployments.choices import (
    ACTIVE,
    DEPLOYMENT_TRANSITIONS,
    NOT_BEGUN,
    DeploymentStatus,
    TargetStatus,
)
from devices.deployments.models import Deployment, DeploymentTarget, TargetEvent
from devices.limits import require_all
from devices.models import Device
from hub.exceptions import Conflict

from .creation import Assignment, Terms, lock_deployments, store_deployment

if TYPE_CHECKING:
    from accounts.actors import Asker

T = TargetStatus
TERMS = tuple(Terms.__dataclass_fields__)


def cancel_deployment(deployment: Deployment, *, actor: Asker, reason: str = "") -> Deployment:
    """Offer it to nobody else, and tell those who work on it to stop; what is installed stays installed."""
    require(actor, "deployments.change", deployment)
    with transaction.atomic():
        lock_deployments()
        locked = Deployment.objects.select_for_update(no_key=True).get(pk=deployment.pk)
        if locked.status == DeploymentStatus.CANCELLED:
            return locked
        if not locked.is_open:
            raise Conflict("It has ended.", code="deployment_over")
        require_all(actor, Device.objects.filter(pk__in=locked.targets.open().values("device")))
        text = f"Called off by {actor}. {reason}".strip()
        for old, new in ((NOT_BEGUN, T.CANCELLED), (ACTIVE, T.CANCELLING)):
            rows = locked.targets.filter(status__in=old).select_for_update(no_key=True, of=("self",))
            keys = list(rows.exclude(status=new).values_list("pk", flat=True))
            ended = {"finished_at": Now()} if new == T.CANCELLED else {"lease_until": None}
            DeploymentTarget.objects.filter(pk__in=keys).update(status=new, **ended)
            TargetEvent.objects.bulk_create(
                [TargetEvent(target_id=pk, status=new, message=text[:500]) for pk in keys], batch_size=5000
            )
        DEPLOYMENT_TRANSITIONS.apply(locked, DeploymentStatus.CANCELLED, finished_at=Now())
        audit.record(actor, "deployment.cancelled", locked, reason=reason)
    return locked


def force_quit(target: DeploymentTarget, *, actor: Asker) -> DeploymentTarget:
    """End one whose device does not answer, without it. What the device does in the end is its own affair."""
    require(actor, "deployments.change", target.deployment)
    with transaction.atomic():
        rows = DeploymentTarget.objects.select_related("deployment", "bundle", "device")
        locked = rows.select_for_update(of=("self",), no_key=True).get(pk=target.pk)
        if locked.is_ended:
            raise Conflict("It has ended.", code="target_over")
        _end_without_device(locked, f"Called off by {actor}.", f"Ended by {actor} without the device.")
        audit.record(actor, "deployment.force_quit", locked.deployment, device=str(locked.device_id))
    return locked


def end_for_device(device: Device) -> None:
    """End all that is open of a device that is gone for good; in the transaction that decides so."""
    lock_deployments()
    rows = DeploymentTarget.objects.filter(device=device).open().order_by("pk")
    for target in rows.select_for_update(no_key=True):
        _end_without_device(target, "Called off.", "The device was decommissioned.")


def retry_failed(deployment: Deployment, *, actor: Asker) -> Deployment:
    """A new deployment on the same terms, for the devices on which this one failed."""
    require(actor, "deployments.change", deployment)
    failed = deployment.targets.filter(status__in=(T.FAILED, T.ROLLED_BACK)).select_related("bundle")
    rows = {row.device_id: row for row in failed}
    found = suits.candidates(Device.objects.visible_to(actor).filter(pk__in=rows))
    allowed = [
        each
        for each in found
        if not each.refusals(rows[each.id].bundle, allow_downgrade=deployment.allow_downgrade, again=True)
    ]
    if not allowed:
        raise Conflict("There is no device on which it can be tried again.", code="no_device")
    wanted = [Assignment(each.id, rows[each.id].bundle_id, each.running) for each in allowed]
    terms = Terms(**{name: getattr(deployment, name) for name in TERMS} | {"starts_at": None})
    chosen = {"retry": str(deployment.pk)}
    return store_deployment(
        wanted, terms, actor=actor, kind=deployment.kind, bundle=deployment.bundle, chosen=chosen, parent=deployment
    )


def _end_without_device(target: DeploymentTarget, called_off: str, ended: str) -> None:
    if target.status in ACTIVE and target.status != T.CANCELLING:
        moves.move(target, T.CANCELLING, called_off)
    moves.move(target, T.CANCELLED, ended)
