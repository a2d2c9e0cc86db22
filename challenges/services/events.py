"""Make events, move them through their states, let teams in, and carry out what the clock demands."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from accounts import audit
from accounts.actors import SCHEDULER, SYSTEM
from accounts.models import User
from accounts.permissions import can, region_limit, require
from challenges.choices import (
    EVENT_TRANSITIONS,
    OVER,
    EventStatus,
    ParticipationKind,
)
from challenges.event_rules import CLOCKED
from challenges.instances import expiry
from challenges.models import Announcement, Event, Instance, Participation, Team
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound

from .common import assign, clean, free_slug, told
from .play import refuse_ban
from .teams import lock_team, personal_team, team_of

if TYPE_CHECKING:
    from accounts.actors import Asker

SLUG_LENGTH = 110
FIXED_ONCE_BEGUN = frozenset({"participation", "starts_at", "address_policy"})


def create_event(*, actor: Asker, organisers: Any = (), **values: Any) -> Event:
    """Make an event: a draft, or scheduled at once by those who may approve."""
    require(actor, "events.change")
    event = Event(**values, created_by=actor if isinstance(actor, User) else None)
    event.slug = event.slug or free_slug(Event, event.name, SLUG_LENGTH)
    _require_region(actor, event)
    event.status = _status_when_approved(event) if can(actor, "events.approve") else EventStatus.DRAFT
    with transaction.atomic():
        clean(event, exclude={"created_by"}, with_constraints=False)
        _store(event)
        _set_organisers(event, organisers, actor)
        audit.record(actor, "event.created", event, status=event.status)
    return event


def update_event(event: Event, *, actor: Asker, organisers: Any = None, **changes: Any) -> Event:
    """Change an event. What would be unfair once it has begun stays as it is then."""
    require(actor, "events.change", event)
    with transaction.atomic():
        locked = lock_event(event)
        if locked.state in OVER:
            raise Conflict("The event is over.", code="event_over")
        begun = locked.state in (EventStatus.RUNNING, EventStatus.PAUSED)
        for name in FIXED_ONCE_BEGUN & set(changes):
            if begun and getattr(locked, name) != changes[name]:
                raise Conflict("The event has begun; this stays as it is.", code="event_begun")
        before = assign(locked, changes)
        _require_region(actor, locked)
        clean(locked, exclude={"created_by"}, with_constraints=False)
        _store(locked)
        if organisers is not None:
            _set_organisers(locked, organisers, actor)
        audit.record(actor, "event.changed", locked, **audit.changes(told(before), told(changes)))
    return locked


def delete_event(event: Event, *, actor: Asker) -> None:
    """Remove an event that nobody has entered."""
    require(actor, "events.change", event)
    with transaction.atomic():
        locked = lock_event(event)
        if locked.participations.exists() or locked.instances.exists():
            raise Conflict("Teams have entered it. Cancel it instead.", code="event_has_teams")
        audit.record(actor, "event.deleted", locked)
        locked.delete()


def submit_for_approval(event: Event, *, actor: Asker) -> Event:
    """Ask an Admin to approve a draft."""
    require(actor, "events.change", event)
    return _move(event, EventStatus.PENDING, actor, "event.submitted", status_reason="")


def approve_event(event: Event, *, actor: Asker) -> Event:
    """Approve: it is scheduled, or runs at once when its start has passed."""
    require(actor, "events.approve", event)
    if timezone.now() >= event.ends_at:
        raise Conflict("Its end has passed. Give it new times first.", code="event_over")
    drafts = {EventStatus.DRAFT, EventStatus.PENDING}
    return _move(event, _status_when_approved(event), actor, "event.approved", only_from=drafts, status_reason="")


def reject_event(event: Event, *, actor: Asker, reason: str) -> Event:
    """Send a draft back with the reason."""
    require(actor, "events.approve", event)
    if not reason.strip():
        raise Invalid("Say why: the organisers read it.", field="reason")
    return _move(event, EventStatus.REJECTED, actor, "event.rejected", status_reason=reason.strip()[:300])


def start_event(event: Event, *, actor: Asker) -> Event:
    """Begin now, before the time that was set."""
    require(actor, "events.change", event)
    start = min(timezone.now(), event.starts_at)
    waiting = {EventStatus.APPROVED, EventStatus.SCHEDULED}
    return _move(event, EventStatus.RUNNING, actor, "event.started", only_from=waiting, starts_at=start)


def pause_event(event: Event, *, actor: Asker) -> Event:
    """Hold the play: no answers, hints or launches until it goes on."""
    require(actor, "events.change", event)
    return _move(event, EventStatus.PAUSED, actor, "event.paused")


def resume_event(event: Event, *, actor: Asker) -> Event:
    """Go on."""
    require(actor, "events.change", event)
    return _move(event, EventStatus.RUNNING, actor, "event.resumed", only_from={EventStatus.PAUSED})


def end_event(event: Event, *, actor: Asker) -> Event:
    """End now; what it has running goes."""
    require(actor, "events.change", event)
    ended = _move(event, EventStatus.COMPLETED, actor, "event.ended", ends_at=timezone.now())
    carry_out_end(ended)
    return ended


def cancel_event(event: Event, *, actor: Asker, reason: str) -> Event:
    """Call it off before it has begun; what was deployed for it goes."""
    require(actor, "events.change", event)
    off = _move(event, EventStatus.CANCELLED, actor, "event.cancelled", status_reason=reason.strip()[:300])
    carry_out_end(off)
    return off


def register(event: Event, *, actor: Any) -> Participation:
    """Enter an event with one's team, or for oneself; entering again changes nothing.

    One member enters for all. The event's row is locked, so the last place is given once; and the team's before it, so
    that it does not grow meanwhile.
    """
    require(actor, "events.play")
    team = personal_team(actor) if event.participation == ParticipationKind.USERS else team_of(actor)
    if team is None:
        raise Conflict("Join or make a team first.", code="no_team")
    with transaction.atomic():
        team = lock_team(team)
        locked = lock_event(event)
        found = Participation.objects.filter(event=locked, team=team).select_related("event", "team").first()
        if found is not None:
            return found
        _refuse_entry(locked, team)
        made = Participation.objects.create(event=locked, team=team, registered_by=actor)
        audit.record(actor, "event.entered", locked, team=team.name)
    return made


def withdraw(event: Event, *, actor: Any) -> None:
    """Leave an event before it begins; what organisers have deployed for the team goes."""
    require(actor, "events.play")
    with transaction.atomic():
        # The participation before the event, as launches hold them.
        rows = Participation.objects.of(actor).filter(event=event).select_related("team")
        found = rows.select_for_update(of=("self",)).first()
        locked = lock_event(event)
        if found is None:
            raise NotFound("You have not entered this event.")
        if found.team.captain_id != actor.pk:
            raise NotAllowed("The captain withdraws the team.")
        refuse_ban(found)  # who came back would be without it
        if locked.state != EventStatus.SCHEDULED:
            raise Conflict("The event has begun.", code="event_begun")
        audit.record(actor, "event.withdrawn", locked, team=found.team.name)
        found.delete()
        copies = Instance.objects.filter(event=locked, team=found.team)
        expiry.end_all(copies, actor=actor, verb="delete", reason="The team has withdrawn.")


def ban_from_event(participation: Participation, *, actor: Asker, reason: str) -> Participation:
    """Take a team out of one event; its score is not counted while it is, and what it runs there goes."""
    require(actor, "events.moderate", participation.event)
    if not reason.strip():
        raise Invalid("Say why: the team reads it.", field="reason")
    return _set_ban(participation, actor, reason.strip()[:300])


def unban_from_event(participation: Participation, *, actor: Asker) -> Participation:
    """Let a team play on, with the score it had."""
    require(actor, "events.moderate", participation.event)
    return _set_ban(participation, actor, "")


def set_administrator(event: Event, user: User | None, *, actor: Asker) -> Event:
    """Let one participant look after the teams of the event, or nobody."""
    require(actor, "events.change", event)
    with transaction.atomic():
        locked = lock_event(event)
        if user is not None and not locked.participations.filter(team__memberships__user=user).exists():
            raise Invalid("This person takes no part in the event.", field="user")
        locked.administrator = user
        locked.save(update_fields=["administrator"])
        audit.record(actor, "event.administrator_set", locked, person=user.username if user else "")
    return locked


def settle_events() -> int:
    """Store what the clock has made of events, tell of starts, and end what is to end; answers how many moved.

    Nothing depends on it but what is stored and told: every request computes the state from the time.
    """
    now, moved = timezone.now(), 0
    due = Q(status__in=CLOCKED, ends_at__lte=now) | Q(
        status__in=(EventStatus.APPROVED, EventStatus.SCHEDULED), starts_at__lte=now
    )
    for pk in Event.objects.filter(due).values_list("pk", flat=True):
        with transaction.atomic():
            event = Event.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)).filter(pk=pk).first()
            if event is None or (state := event.state_at(now)) == event.status:
                continue
            before, event.status = event.status, state
            event.save(update_fields=["status"])
            moved += 1
            audit.record(SCHEDULER, f"event.{'started' if state == EventStatus.RUNNING else 'ended'}", event)
            if state == EventStatus.RUNNING and before != EventStatus.PAUSED:
                _tell_start(event)
    for event in Event.objects.filter(status__in=(EventStatus.COMPLETED, EventStatus.CANCELLED), ended_at=None):
        carry_out_end(event)
    return moved


def carry_out_end(event: Event) -> None:
    """Let go of all that runs for an event; asked again until it has succeeded once."""
    with transaction.atomic():
        copies = Instance.objects.filter(event=event)
        expiry.end_all(copies, actor=SYSTEM, verb="delete", reason="The event is over.")
        Event.objects.filter(pk=event.pk, ended_at=None).update(ended_at=timezone.now())


def lock_event(event: Event) -> Event:
    """The event's row, held for this transaction."""
    locked = Event.objects.select_for_update(no_key=True, of=("self",)).select_related("region").filter(pk=event.pk)
    found = locked.first()
    if found is None:
        raise NotFound("There is no such event.")
    return found


def _move(
    event: Event, status: str, actor: Asker, action: str, *, only_from: Container[str] | None = None, **values: Any
) -> Event:
    """One arrow of the table, from the state that the clock has made."""
    with transaction.atomic():
        locked = lock_event(event)
        state = locked.state
        if state == status:
            raise Conflict(f"The event is {locked.state_label.lower()} already.", code="illegal_transition")
        if only_from is not None and state not in only_from:
            raise Conflict(f"The event is {locked.state_label.lower()}.", code="illegal_transition")
        EVENT_TRANSITIONS.check(state, status)
        before = locked.status
        locked.status = status
        assign(locked, values)
        locked.save(update_fields=["status", *values])
        audit.record(actor, action, locked, before={"status": before}, after={"status": status}, **told(values))
        if status == EventStatus.RUNNING and state != EventStatus.PAUSED:
            _tell_start(locked)
    return locked


def _status_when_approved(event: Event) -> EventStatus:
    return EventStatus.RUNNING if event.starts_at and timezone.now() >= event.starts_at else EventStatus.SCHEDULED


def _tell_start(event: Event) -> None:
    """Tell all whom it is open to: who has not entered yet may still."""
    title = f"{event.name} has started"[:120]
    Announcement.objects.create(event=event, title=title, message="Good luck.", author_name="the hub", is_wide=True)


def _refuse_entry(event: Event, team: Team) -> None:
    if not event.is_open_for_registration:
        raise Conflict("The event takes no teams now.", code="registration_closed")
    if team.is_banned:
        raise NotAllowed(f"The team is banned: {team.ban_reason}", code="team_banned")
    if not event.is_public and event.region_id is not None and event.region_id != team.region_id:
        raise NotAllowed("The event is for another region.", code="other_region")
    if event.max_team_size is not None and team.memberships.count() > event.max_team_size:
        raise LimitReached(f"A team has at most {event.max_team_size} people here.", code="team_too_large")
    if event.max_participants is not None and event.participations.count() >= event.max_participants:
        raise LimitReached("The event is full.", code="event_full")


def _set_ban(participation: Participation, actor: Asker, reason: str) -> Participation:
    with transaction.atomic():
        rows = Participation.objects.select_for_update(no_key=True, of=("self",)).select_related("event", "team")
        locked = rows.get(pk=participation.pk)
        if bool(reason) != (locked.banned_at is not None):
            locked.banned_at, locked.ban_reason = (timezone.now() if reason else None), reason
            locked.save(update_fields=["banned_at", "ban_reason"])
            action = "event.team_banned" if reason else "event.team_unbanned"
            audit.record(actor, action, locked.event, team=locked.team.name, reason=reason)
            if reason:
                copies = Instance.objects.filter(event=locked.event, team=locked.team)
                expiry.end_all(copies, actor=actor, verb="expire", reason="The team is banned.")
    return locked


def _require_region(actor: Asker, event: Event) -> None:
    """An Operator of regions makes and keeps events there; an organiser may do so elsewhere with those he has."""
    if event._state.adding:
        allowed = can(actor, "events.change") and _reaches(actor, event)
    else:
        allowed = can(actor, "events.change", event)
    if not allowed:
        raise NotAllowed("You may make events in your own regions.", code="other_region")


def _reaches(actor: Asker, event: Event) -> bool:
    regions = region_limit(actor)
    return regions is None or event.region_slug in regions


def _set_organisers(event: Event, organisers: Any, actor: Asker) -> None:
    people = list(organisers)
    for person in people:
        if not can(person, "events.change"):
            raise Invalid(f"{person.username} has no role that runs events.", field="organisers")
    before = set(event.organisers.values_list("username", flat=True))
    event.organisers.set(people)
    after = {person.username for person in people}
    if before != after:
        audit.record(actor, "event.organisers_set", event, before=sorted(before), after=sorted(after))


def _store(event: Event) -> None:
    try:
        with transaction.atomic():
            event.save()
    except IntegrityError:
        raise Invalid("Another event has this name.", field="name") from None
