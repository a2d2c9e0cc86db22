"""One decision for many devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

from accounts.permissions import require
from hub import bulk

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


def decide_many(ids: Iterable[UUID], verb: str, *, actor: Asker) -> list[bulk.Result[Device]]:
    """Decide about each, whatever becomes of the others."""
    require(actor, "devices.control")
    rows = Device.objects.visible_to(actor).select_related("region")
    return bulk.for_keys(ids, rows, lambda device: DECISIONS[verb](device, actor=actor))
