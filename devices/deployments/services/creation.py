"""Deploy a bundle to devices, groups or all of them: one target row each, made together.

Creations take turns (an advisory lock), because they supersede each other's waiting targets. Heartbeats are not held
up: no row of a device is locked, and a target that a device is working on is never touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, time
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from accounts import audit
from accounts.models import User
from accounts.permissions import group_limit, require
from devices.bundles.models import Bundle
from devices.deployments import suits
from devices.deployments.choices import (
    MOST_DEVICES,
    NOT_BEGUN,
    DeploymentKind,
    DeploymentStatus,
    TargetStatus,
)
from devices.deployments.models import Deployment, DeploymentTarget, TargetEvent
from devices.models import Device, DeviceGroup
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound

if TYPE_CHECKING:
    from accounts.actors import Asker

DEPLOY_LOCK: Final = 6_021_010
BATCH: Final = 5_000
T = TargetStatus


@dataclass(frozen=True)
class Chosen:
    """How devices are chosen: by id, by group, or all that the actor sees."""

    devices: Sequence[UUID] = ()
    groups: Sequence[str] = ()
    all: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"devices": len(self.devices), "groups": list(self.groups), "all": self.all}


@dataclass(frozen=True)
class Terms:
    """How a deployment goes."""

    description: str = ""
    starts_at: datetime | None = None
    window_starts_at: time | None = None
    window_minutes: int | None = None
    window_timezone: str = "UTC"
    timeout_seconds: int = 300
    soak_seconds: int = 60
    max_attempts: int = 3
    allow_downgrade: bool = False
    rolls_back_on_failure: bool = False


@dataclass(frozen=True)
class Assignment:
    """One device and what it is to run."""

    device: UUID
    bundle: UUID
    from_version: str = ""


@dataclass
class Made:
    """A deployment, and whom it does not reach."""

    deployment: Deployment
    refused: list[tuple[suits.Candidate, list[suits.Reason]]] = field(default_factory=list)


def choose_devices(chosen: Chosen, *, actor: Asker) -> QuerySet[Device]:
    """The devices that are meant, of those that the actor may see; who names one that is not there is told."""
    seen, own = Device.objects.visible_to(actor).present(), group_limit(actor)
    if own is not None and (chosen.all or not own.issuperset(chosen.groups)):
        raise NotAllowed(f"This token deploys to {', '.join(sorted(own))} only.", code="other_group")
    if chosen.all:
        return seen.accepted()
    ids = set(chosen.devices)
    if len(ids) > MOST_DEVICES:
        raise Invalid(f"At most {MOST_DEVICES} devices.", field="devices")
    known = set(seen.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()
    if missing := ids - known:
        if own is not None:
            raise NotFound(f"There is no device {sorted(map(str, missing))[0]}.")
        raise Invalid(f"There is no device {sorted(map(str, missing))[0]}.", code="no_such_device", field="devices")
    groups = DeviceGroup.objects.visible_to(actor).filter(slug__in=chosen.groups)
    slugs = set(chosen.groups)
    if unknown := slugs - set(groups.values_list("slug", flat=True)):
        raise Invalid(f"There is no group {sorted(unknown)[0]}.", code="no_such_group", field="groups")
    if not ids and not slugs:
        raise Invalid("Choose devices, groups or all.", field="devices")
    members = Device.groups.through._default_manager.filter(devicegroup__in=groups).values("device_id")
    return seen.filter(pk__in=ids) | seen.accepted().filter(pk__in=members)


def preview_deployment(bundle: Bundle, chosen: Chosen, terms: Terms, *, actor: Asker) -> suits.Preview:
    """Who would get it and who would not; nothing is stored."""
    require(actor, "deployments.change")
    found = suits.candidates(choose_devices(chosen, actor=actor))
    return suits.preview(found, bundle, allow_downgrade=terms.allow_downgrade)


def create_deployment(bundle: Bundle, chosen: Chosen, terms: Terms | None = None, *, actor: Asker) -> Made:
    """Have those devices run the bundle. Those that cannot are left out, with the reasons; all of them: refused."""
    terms = terms or Terms()
    for reason in suits.about_bundle(bundle):
        raise Conflict(reason.text, code=reason.code, field="bundle")
    divided = preview_deployment(bundle, chosen, terms, actor=actor)
    if not divided.eligible:
        first = next(iter(divided.refused), None)
        text = first[1][0].text if first else "None of these devices is there."
        raise Conflict(f"No device can take it. {text}", code="no_device", field="devices")
    wanted = [Assignment(each.id, bundle.pk, each.running) for each in divided.eligible]
    deployment = store_deployment(
        wanted, terms, actor=actor, kind=DeploymentKind.UPDATE, bundle=bundle, chosen=chosen.as_json()
    )
    return Made(deployment, divided.refused)


def store_deployment(
    wanted: Sequence[Assignment],
    terms: Terms,
    *,
    actor: Asker,
    kind: str,
    bundle: Bundle | None = None,
    chosen: Mapping[str, Any] | None = None,
    parent: Deployment | None = None,
) -> Deployment:
    """Make the rows. What waits on these devices is superseded, at once or when a scheduled one begins."""
    if len(wanted) > MOST_DEVICES:
        raise LimitReached(f"A deployment has at most {MOST_DEVICES} devices.", code="too_many_devices")
    is_later = terms.starts_at is not None and terms.starts_at > timezone.now()
    deployment = Deployment(
        **asdict(terms),
        kind=kind,
        bundle=bundle,
        chosen=dict(chosen or {}),
        parent=parent,
        status=DeploymentStatus.SCHEDULED if is_later else DeploymentStatus.RUNNING,
        started_at=None if is_later else timezone.now(),
        created_by=actor if isinstance(actor, User) else None,
        created_by_name=str(actor),
    )
    _check(deployment)
    with transaction.atomic():
        lock_deployments()
        bundles = {each.bundle for each in wanted}
        for row in Bundle.objects.select_for_update(no_key=True).filter(pk__in=bundles).order_by("pk"):
            for reason in suits.about_bundle(row):
                raise Conflict(reason.text, code=reason.code, field="bundle")
        Bundle.objects.filter(pk__in=bundles).update(first_used_at=Coalesce("first_used_at", Now()))
        deployment.save(force_insert=True)
        if not is_later:
            supersede([each.device for each in wanted], deployment)
        status = T.SCHEDULED if is_later else T.WAITING
        _insert_targets(deployment, wanted, status)
        audit.record(
            actor,
            "deployment.created",
            deployment,
            kind=kind,
            bundle=str(bundle or ""),
            devices=len(wanted),
            parent=str(parent.pk) if parent else "",
        )
    return deployment


def supersede(devices: Iterable[UUID], by: Deployment) -> int:
    """End what waits on these devices; under the lock of deployments. Answers how many."""
    devices = list(devices)
    gone = 0
    for start in range(0, len(devices), BATCH):
        rows = DeploymentTarget.objects.filter(status__in=NOT_BEGUN, device__in=devices[start : start + BATCH])
        older = rows.exclude(deployment=by).exclude(deployment__status=DeploymentStatus.SCHEDULED)
        keys = list(older.select_for_update(no_key=True, of=("self",)).values_list("pk", "deployment_id"))
        moved = DeploymentTarget.objects.filter(pk__in=[pk for pk, _ in keys], status__in=NOT_BEGUN)
        gone += moved.update(status=T.SUPERSEDED, finished_at=Now())
        TargetEvent.objects.bulk_create(
            [TargetEvent(target_id=pk, status=T.SUPERSEDED, message="A newer deployment came.") for pk, _ in keys],
            batch_size=BATCH,
        )
        Deployment.objects.filter(pk__in={deployment for _, deployment in keys}).complete().update(
            status=DeploymentStatus.FINISHED, finished_at=Now()
        )
    return gone


def _insert_targets(deployment: Deployment, wanted: Sequence[Assignment], status: str) -> None:
    """All rows in one statement with five parameters: ten thousand rows as parameters take a minute."""
    sql = """
        INSERT INTO devices_deploymenttarget
            (deployment_id, device_id, bundle_id, from_version, status,
             attempt, offers, reports, error_code, error_message, output)
        SELECT %s, wanted.device, wanted.bundle, wanted.version, %s, 1, 0, 0, '', '', ''
        FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS wanted (device, bundle, version)
    """
    columns = [[getattr(each, name) for each in wanted] for name in ("device", "bundle", "from_version")]
    with connection.cursor() as cursor:
        cursor.execute(sql, [deployment.pk, status, *columns])


def lock_deployments() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DEPLOY_LOCK])


def _check(deployment: Deployment) -> None:
    if (deployment.window_starts_at is None) != (deployment.window_minutes is None):
        raise Invalid("A window has a beginning and a length.", field="window_minutes")
    try:
        ZoneInfo(deployment.window_timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("There is no such time zone.", field="window_timezone") from None
    try:
        deployment.clean_fields(exclude=["bundle", "parent", "created_by", "chosen"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(messages[0], field=field) from None
