"""One decision for many devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

from accounts.permissions import require
from hub import bulk
from hub.exceptions import Conflict

from ..choices import KeyState
from ..models import Device
from . import life

if TYPE_CHECKING:
    from accounts.actors import Asker

DECISIONS: Final[dict[str, Callable[..., Device]]] = {
    "accept": life.accept_device,
    "reject": life.reject_device,
    "suspend": life.suspend_device,
    "resume": life.resume_device,
    "decommission": life.decommission_device,
}


def decide_many(
    ids: Iterable[UUID], verb: str, *, actor: Asker, fingerprints: Mapping[UUID, str] | None = None
) -> list[bulk.Result[Device]]:
    """Decide about each, whatever becomes of the others. Who accepts names the key of each that he has looked at."""
    require(actor, "devices.control")
    seen = fingerprints or {}

    def decide(device: Device) -> Device:
        if verb != "accept":
            return DECISIONS[verb](device, actor=actor)
        if not seen.get(device.pk) and device.keys.filter(state=KeyState.PROPOSED).exists():
            raise Conflict("Name the key that you accept.", code="key_not_named", field="fingerprints")
        return life.accept_device(device, actor=actor, fingerprint=seen.get(device.pk, ""))

    rows = Device.objects.visible_to(actor).select_related("region")
    return bulk.for_keys(ids, rows, decide)
