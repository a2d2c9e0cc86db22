"""Send devices back, each to its own last good bundle; who cannot is said, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import QuerySet

from accounts.permissions import require
from devices.bundles.models import Bundle
from devices.deployments import suits
from devices.deployments.choices import DeploymentKind, TargetStatus
from devices.deployments.models import Deployment, DeploymentTarget
from devices.models import Device
from hub.exceptions import Conflict, Invalid

from .creation import Assignment, Made, Terms, store_deployment

if TYPE_CHECKING:
    from accounts.actors import Asker

NEVER = suits.Reason("no_good_bundle", "Nothing else was ever installed on it with success.")
BATCH = 2_000


@dataclass(frozen=True)
class Way:
    """Where one device would go back to, or why it cannot."""

    device: suits.Candidate
    bundle: Bundle | None
    reasons: tuple[suits.Reason, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.bundle is not None and not self.reasons


def ways_back(devices: QuerySet[Device], *, to: Bundle | None = None, failed: Bundle | None = None) -> list[Way]:
    """For each device the bundle it would be sent back to, its requirements checked: the newest that was proven there
    and is not what it runs, or `to`, which must have been.

    Where `failed` was tried it is the newest that was proven, also when the device says that it runs it: a script that
    failed half-way has left neither.
    """
    found = suits.candidates(devices)
    good = _good_bundles([each.id for each in found])
    return [_way(each, good.get(each.id, []), to, failed) for each in found]


def reached_by(deployment: Deployment, *, actor: Asker) -> QuerySet[Device]:
    """The devices on which it succeeded, of those that the actor sees: whom going back from it concerns."""
    reached = deployment.targets.filter(status=TargetStatus.SUCCEEDED).values("device")
    return Device.objects.visible_to(actor).present().filter(pk__in=reached)


def rollback_devices(
    devices: QuerySet[Device],
    *,
    actor: Asker,
    to: Bundle | None = None,
    terms: Terms | None = None,
    failed: Bundle | None = None,
    all_or_none: bool = False,
    parent: Deployment | None = None,
) -> Made:
    """Send back those that can be; `all_or_none` refuses when one cannot."""
    require(actor, "deployments.change")
    ways = ways_back(devices, to=to, failed=failed)
    closed = [way for way in ways if not way.is_open]
    if all_or_none and closed:
        text = f"{closed[0].device.name}: {closed[0].reasons[0].text}"
        raise Invalid(text, code="no_way_back", field="target_device_ids")
    wanted = [
        Assignment(way.device.id, way.bundle.pk, way.device.running) for way in ways if way.is_open and way.bundle
    ]
    if not wanted:
        text = f" {closed[0].device.name}: {closed[0].reasons[0].text}" if closed else ""
        raise Conflict(f"None of these devices can be sent back.{text}", code="no_way_back")
    terms = replace(terms or Terms(), allow_downgrade=True, rolls_back_on_failure=False)
    deployment = store_deployment(
        wanted,
        terms,
        actor=actor,
        kind=DeploymentKind.ROLLBACK,
        bundle=to,
        chosen={"devices": len(ways), "cannot": len(closed)},
        parent=parent,
    )
    return Made(deployment, [(way.device, list(way.reasons)) for way in closed])


def _way(device: suits.Candidate, good: Sequence[Bundle], to: Bundle | None, failed: Bundle | None) -> Way:
    if to is not None:
        if to.pk not in {each.pk for each in good}:
            text = f"The device has no successful deployment of version {to.version}."
            return Way(device, to, (suits.Reason("never_proven", text),))
        return Way(device, to, tuple(device.refusals(to, allow_downgrade=True)))
    others = [each for each in good if (each.pk != failed.pk if failed else not device.runs(each))]
    refused: Way | None = None
    for bundle in others:
        reasons = tuple(device.refusals(bundle, allow_downgrade=True, again=True))
        if not reasons:
            return Way(device, bundle)
        refused = refused or Way(device, bundle, reasons)
    return refused or Way(device, None, (NEVER,))


def _good_bundles(devices: Sequence[UUID]) -> dict[UUID, list[Bundle]]:
    """What was proven on each device, newest first, each bundle once."""
    rows: list[tuple[UUID, UUID]] = []
    for part in _parts(devices):
        rows += DeploymentTarget.objects.filter(device__in=part).good().values_list("device_id", "bundle_id")
    bundles = Bundle.objects.in_bulk({bundle for _, bundle in rows})
    found: dict[UUID, dict[UUID, Bundle]] = {}
    for device, bundle in rows:
        found.setdefault(device, {}).setdefault(bundle, bundles[bundle])
    return {device: list(each.values()) for device, each in found.items()}


def _parts(devices: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    for start in range(0, len(devices), BATCH):
        yield devices[start : start + BATCH]
