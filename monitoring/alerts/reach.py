"""Which mutes an Operator of regions may plan and end: those of his regions and of what runs there, and his own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from accounts.permissions import can, region_limit
from monitoring import subjects

from .choices import Scope
from .models import Mute

if TYPE_CHECKING:
    from accounts.actors import Asker


def endable(mutes: Iterable[Mute], actor: Asker) -> set[int]:
    """The keys of those that the actor may end."""
    rows = list(mutes)
    if not can(actor, "alerts.change"):
        return set()
    own = {mute.pk for mute in rows if mute.scope == Scope.SUBJECT and mute.created_by == str(actor)[:150]}
    return own | {mute.pk for mute in _within(rows, actor)}


def is_within(mute: Mute, actor: Asker) -> bool:
    """Whether what it mutes lies in the actor's regions; anything does when he has no limit."""
    return bool(_within([mute], actor))


def _within(mutes: list[Mute], actor: Asker) -> list[Mute]:
    regions = region_limit(actor)
    if regions is None:
        return mutes
    found = subjects.known({mute.scope_value for mute in mutes if mute.scope == Scope.SUBJECT})
    places = {key: subject.region for key, subject in found.items()}
    return [mute for mute in mutes if (mute.region_slug or places.get(mute.scope_value, "")) in regions]
