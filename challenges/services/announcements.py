"""Tell participants of an event, or everybody, and see who has read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts import audit
from accounts.permissions import can, require
from challenges.models import Announcement, AnnouncementRead, Event

from .common import clean

if TYPE_CHECKING:
    from accounts.actors import Asker

NEWEST = 50


def announce(*, actor: Asker, event: Event | None = None, **values: Any) -> Announcement:
    """Tell the participants of an event; without one an Admin tells everybody, or a region."""
    if event is None:
        require(actor, "events.broadcast")
    else:
        require(actor, "events.change", event)
        values.pop("region", None)
    told = Announcement(event=event, author_name=str(actor)[:150], **values)
    with transaction.atomic():
        clean(told)
        told.save()
        audit.record(actor, "announcement.made", told, event=event.name if event else "")
    return told


def withdraw_announcement(announcement: Announcement, *, actor: Asker) -> None:
    """Take back what was told."""
    require_withdrawal(announcement, actor=actor)
    with transaction.atomic():
        audit.record(actor, "announcement.withdrawn", announcement)
        announcement.delete()


def require_withdrawal(announcement: Announcement, *, actor: Asker) -> None:
    """Raise `NotAllowed` unless the actor may take it back."""
    require(actor, *_right_to(announcement))


def withdrawable(told: Sequence[Announcement], user: Any) -> set[int]:
    """Which of these somebody may take back, by key; asked once for each event."""
    if not can(user, "events.change"):
        return set()
    of_event = {each.event_id: each for each in told}
    rights = {event: can(user, *_right_to(each)) for event, each in of_event.items()}
    return {each.pk for each in told if rights[each.event_id]}


def _right_to(announcement: Announcement) -> tuple[str, Event | None]:
    """The right that it takes to tell it, and so to take it back."""
    event = announcement.event
    return ("events.change", event) if event else ("events.broadcast", None)


def newest_for(user: Any) -> list[Announcement]:
    """The newest of what somebody may read, each with `is_read`."""
    found = list(Announcement.objects.visible_to(user).select_related("event__region", "region")[:NEWEST])
    ids = [each.pk for each in found]
    read = set(
        AnnouncementRead.objects.filter(user=user.pk, announcement__in=ids).values_list("announcement", flat=True)
    )
    for each in found:
        each.is_read = each.pk in read  # type: ignore[attr-defined]
    return found


def unread_count(user: Any) -> int:
    """How many of those are unread."""
    seen = AnnouncementRead.objects.filter(user=user.pk)
    return Announcement.objects.visible_to(user).exclude(pk__in=seen.values("announcement")).count()


def mark_read(announcement: Announcement, *, actor: Any) -> None:
    """Note that somebody has read it."""
    AnnouncementRead.objects.get_or_create(announcement=announcement, user=actor)
