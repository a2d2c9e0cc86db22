"""Why a device would get a bundle or not: one list of reasons, for previews, deployments and rollbacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle, DeviceSealingKey
from devices.choices import DeviceStatus, KeyAlgorithm, KeyState
from devices.models import Device, DeviceKey
from devices.packaging.manifest import is_older

from .choices import ACTIVE, TargetStatus
from .models import DeploymentTarget

T = TargetStatus


@dataclass(frozen=True)
class Reason:
    """Why not, for programs and for people. One that is not final goes away by itself."""

    code: str
    text: str
    is_final: bool = True


@dataclass(frozen=True)
class Candidate:
    """What decides about one device."""

    id: UUID
    name: str
    status: str
    device_type: str
    running: str
    proven: UUID | None
    proven_name: str | None
    proven_version: str | None
    can_open: bool
    active: str | None
    agent_version: str = ""

    def runs(self, bundle: Bundle) -> bool:
        """Whether it says the version of this bundle; where that is what was proven there last, whether it is that."""
        if self.running != bundle.version:
            return False
        return self.proven_version != self.running or self.proven == bundle.pk

    def goes_back(self, bundle: Bundle) -> bool:
        """Whether this would be older than what it runs; another bundle is neither older nor newer."""
        is_other = self.proven_version == self.running and self.proven_name != bundle.name
        return bool(self.running) and not is_other and is_older(bundle.version, self.running)

    def refusals(self, bundle: Bundle, *, allow_downgrade: bool = False, again: bool = False) -> list[Reason]:
        """Every reason why it would not be sent this bundle; `again` sends what it runs already."""
        found = list(about_bundle(bundle))
        if self.status != DeviceStatus.ACCEPTED:
            found.append(Reason("not_accepted", f"The device is {DeviceStatus(self.status).label.lower()}."))
        if not bundle.suits(self.device_type):
            kinds = ", ".join(bundle.device_types)
            found.append(Reason("other_type", f"It is for {kinds}; the device is {self.device_type or 'of no type'}."))
        least = bundle.manifest.get("min_agent_version", "")
        if least and self.agent_version and is_older(self.agent_version, least):
            text = f"It needs an agent of version {least}; the device's is {self.agent_version}."
            found.append(Reason("agent_too_old", text, is_final=False))
        if bundle.is_sealed and not self.can_open:
            found.append(Reason("no_sealing_key", "It is encrypted, and the device has no key to open it."))
        is_there = self.proven == bundle.pk and self.running == bundle.version
        if is_there and not again:
            found.append(Reason("runs_it", "It runs on the device already."))
        if not allow_downgrade and self.goes_back(bundle):
            found.append(Reason("downgrade", f"The device runs {self.running}, which is newer."))
        return found

    def waits_for(self) -> list[Reason]:
        """What has to end first."""
        if self.active is None:
            return []
        return [Reason("busy", "Another deployment is under way on it; this one comes after it.", is_final=False)]


@dataclass
class Preview:
    """Who would get it and who would not, each with the reasons."""

    eligible: list[Candidate] = field(default_factory=list)
    refused: list[tuple[Candidate, list[Reason]]] = field(default_factory=list)

    def by_reason(self) -> list[tuple[str, int, list[str]]]:
        return group_by_reason(self.refused)


def group_by_reason(refused: Iterable[tuple[Candidate, list[Reason]]]) -> list[tuple[str, int, list[str]]]:
    """Reasons with the number of devices and the names of some, the most frequent first."""
    found: dict[str, list[str]] = {}
    for candidate, reasons in refused:
        for reason in reasons:
            found.setdefault(reason.text, []).append(candidate.name)
    return [(text, len(names), names[:10]) for text, names in sorted(found.items(), key=lambda row: -len(row[1]))]


def about_bundle(bundle: Bundle) -> Iterable[Reason]:
    """What is wrong with the bundle itself."""
    if bundle.status == BundleStatus.UPLOADING:
        yield Reason("not_ready", "The bundle is not uploaded yet.", is_final=False)
    elif bundle.status == BundleStatus.INVALID:
        yield Reason("invalidated", f"The bundle was invalidated: {bundle.invalid_reason}")
    elif bundle.status == BundleStatus.REMOVED:
        yield Reason("file_removed", "The bundle's file was removed: nobody needed it any more.")


def candidates(devices: QuerySet[Device]) -> list[Candidate]:
    """The devices with what decides about them, in one query."""
    good = DeploymentTarget.objects.filter(device=OuterRef("pk")).good()
    active = DeploymentTarget.objects.filter(device=OuterRef("pk"), status__in=ACTIVE)
    keys = DeviceKey.objects.filter(device=OuterRef("pk"), state=KeyState.ACTIVE)
    opens = keys.filter(algorithm__in=(KeyAlgorithm.RSA, KeyAlgorithm.P256))
    rows = devices.annotate(
        proven=Subquery(good.values("bundle")[:1]),
        proven_name=Subquery(good.values("bundle__name")[:1]),
        proven_version=Subquery(good.values("bundle__version")[:1]),
        active_status=Subquery(active.values("status")[:1]),
        own_key_opens=Exists(opens),
        has_sealing_key=Exists(DeviceSealingKey.objects.filter(device=OuterRef("pk"))),
    ).values_list(
        "pk",
        "name",
        "status",
        "device_type",
        "beat__bundle_version",
        "proven",
        "proven_name",
        "proven_version",
        "own_key_opens",
        "has_sealing_key",
        "active_status",
        "beat__agent_version",
    )
    return [
        Candidate(pk, name, status, kind, running or "", proven, of, version, own or sealing, active, agent or "")
        for pk, name, status, kind, running, proven, of, version, own, sealing, active, agent in rows.order_by(
            "name", "number"
        )
    ]


def preview(found: Sequence[Candidate], bundle: Bundle, **options: Any) -> Preview:
    """Divide the devices."""
    result = Preview()
    for candidate in found:
        reasons = candidate.refusals(bundle, **options)
        if reasons:
            result.refused.append((candidate, reasons))
        else:
            result.eligible.append(candidate)
    return result


def why_not(device: Device, bundle: Bundle) -> list[Reason]:
    """Everything that keeps this bundle from this device, what has been tried included; empty: it runs there."""
    candidate = candidates(Device.objects.filter(pk=device.pk))[0]
    if candidate.proven == bundle.pk and candidate.running == bundle.version:
        return []
    reasons = [*candidate.refusals(bundle), *candidate.waits_for()]
    tried = DeploymentTarget.objects.filter(device=device, bundle=bundle).select_related("deployment")
    last = tried.order_by("-id").first()
    if last is None:
        return [*reasons, Reason("never_deployed", "Nobody has deployed it to this device.", is_final=False)]
    return [*reasons, _about(last)]


def _about(last: DeploymentTarget) -> Reason:
    """What the last attempt says."""
    if last.status == T.SCHEDULED:
        return Reason("scheduled", f"Its deployment begins at {last.deployment.starts_at:%Y-%m-%d %H:%M} UTC.", False)
    if last.status == T.WAITING and last.not_before is not None:
        return Reason("retry", f"Attempt {last.attempt - 1} failed: {last.error_message} It is tried again.", False)
    if last.status == T.WAITING and last.deployment.window_starts_at is not None:
        return Reason("window", f"It is offered from {last.deployment.window_starts_at:%H:%M} on.", False)
    if last.status == T.WAITING:
        return Reason("waiting", "It is offered with the next heartbeat.", False)
    if last.status in ACTIVE:
        return Reason("under_way", f"It is under way: {T(last.status).label.lower()}.", False)
    if last.status in (T.FAILED, T.ROLLED_BACK):
        return Reason("failed", f"It {T(last.status).label.lower()}: {last.error_message or last.error_code}")
    return Reason(str(last.status), f"Its last deployment was {T(last.status).label.lower()}.")
