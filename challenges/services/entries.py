"""Which challenges an event offers, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts import audit
from accounts.permissions import require
from challenges.models import Challenge, Event, EventChallenge
from hub.exceptions import Conflict, Invalid

from .common import assign, clean, told
from .events import lock_event

if TYPE_CHECKING:
    from accounts.actors import Asker


def add_entry(event: Event, challenge: Challenge, *, actor: Asker, **values: Any) -> EventChallenge:
    """Offer a challenge in an event."""
    require(actor, "events.change", event)
    links: dict[str, Any] = {name: values.pop(name) for name in ("requires", "allowed_teams") if name in values}
    with transaction.atomic():
        locked = lock_event(event)
        if locked.entries.filter(challenge=challenge).exists():
            raise Conflict("The event offers it already.", code="entry_exists")
        entry = EventChallenge(event=locked, challenge=challenge, **{"position": locked.entries.count(), **values})
        clean(entry)
        entry.save()
        _set_links(entry, links)
        audit.record(actor, "event.challenge_added", locked, challenge=challenge.name)
    return entry


def update_entry(entry: EventChallenge, *, actor: Asker, **changes: Any) -> EventChallenge:
    """Show, hide, order, revalue or lock a challenge in an event."""
    require(actor, "events.change", entry.event)
    links: dict[str, Any] = {name: changes.pop(name) for name in ("requires", "allowed_teams") if name in changes}
    with transaction.atomic():
        lock_event(entry.event)
        locked = EventChallenge.objects.select_related("event__region", "challenge").get(pk=entry.pk)
        before = assign(locked, changes)
        clean(locked)
        locked.save()
        _set_links(locked, links)
        audit.record(
            actor,
            "event.challenge_changed",
            locked.event,
            challenge=locked.challenge.name,
            links=sorted(links),
            **audit.changes(told(before), told(changes)),
        )
    return locked


def remove_entry(entry: EventChallenge, *, actor: Asker) -> None:
    """Take a challenge out of an event that nobody has answered there; others can be hidden."""
    require(actor, "events.change", entry.event)
    with transaction.atomic():
        locked = lock_event(entry.event)
        if entry.submissions.exists() or entry.score_events.exists():
            raise Conflict("Teams have answered it. Hide it instead.", code="entry_played")
        audit.record(actor, "event.challenge_removed", locked, challenge=entry.challenge.name)
        entry.delete()


def _set_links(entry: EventChallenge, links: dict[str, Any]) -> None:
    if "allowed_teams" in links:
        entry.allowed_teams.set(links["allowed_teams"])
    if "requires" not in links:
        return
    wanted = list(links["requires"])
    if any(other.event_id != entry.event_id for other in wanted):
        raise Invalid("What it builds on is in the same event.", field="requires")
    entry.requires.set(wanted)
    if _leads_to(entry.pk, entry.event):
        raise Invalid("It would build on itself, and nobody could ever open it.", field="requires")


def _leads_to(pk: int, event: Event) -> bool:
    links = EventChallenge.requires.through.objects.filter(from_eventchallenge__event=event)
    needed: dict[int, list[int]] = {}
    for one, other in links.values_list("from_eventchallenge_id", "to_eventchallenge_id"):
        needed.setdefault(one, []).append(other)
    seen: set[int] = set()
    waiting = list(needed.get(pk, ()))
    while waiting:
        here = waiting.pop()
        if here == pk:
            return True
        if here not in seen:
            seen.add(here)
            waiting += needed.get(here, ())
    return False
