"""What a team does in an event beside answering: take hints, fetch files; and the points it is given."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from accounts import audit
from accounts.permissions import can, region_limit, require
from challenges import scoring
from challenges.choices import EventStatus, ScoreKind
from challenges.models import (
    ChallengeFile,
    Event,
    EventChallenge,
    FileDownload,
    Hint,
    Participation,
    ScoreEvent,
    Team,
)
from hub import context
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound
from hub.nodes.models import Region
from hub.statements import column_names, statement

from .common import SAMPLE_KEYS, clock


def find_event(user: Any, slug: str) -> Event | None:
    """An event that somebody may see. A crowd asks while it plays, so the statement is kept for all of one kind."""

    def build(slug: str, user_pk: int, home: str) -> Any:
        stand_in = copy(user)
        stand_in.pk, stand_in.region_preference = user_pk, home if user.region_preference else ""
        rows = Event.objects.visible_to(stand_in).filter(slug=slug).order_by()
        return rows.values_list(*column_names(Event), *(f"region__{name}" for name in column_names(Region)))

    rights = (can(user, "events.view"), can(user, "events.view_any"), region_limit(user), bool(user.region_preference))
    asked = statement(("challenges.event", rights), build, "sample of a slug", SAMPLE_KEYS[0], "sample of a region")
    rows = asked.rows(slug, user.pk, user.region_preference)
    if not rows:
        return None
    at = len(column_names(Event))
    event = Event.from_db(DEFAULT_DB_ALIAS, column_names(Event), rows[0][:at])
    if event.region_id is not None:
        event.region = Region.from_db(DEFAULT_DB_ALIAS, column_names(Region), rows[0][at:])
    return event


def participation_of(event: Event, user: Any) -> Participation | None:
    """The participation of somebody in an event. Every look at an event asks, so its statement is kept."""

    def build(event: int, user: int) -> Any:
        rows = Participation.objects.filter(event=event, team__memberships__user=user).order_by("created_at", "id")
        return rows.values_list(*column_names(Participation), *(f"team__{name}" for name in column_names(Team)))[:1]

    rows = statement("challenges.participation_of", build, *SAMPLE_KEYS[:2]).rows(event.pk, user.pk)
    if not rows:
        return None
    at = len(column_names(Participation))
    found = Participation.from_db(DEFAULT_DB_ALIAS, column_names(Participation), rows[0][:at])
    found.team = Team.from_db(DEFAULT_DB_ALIAS, column_names(Team), rows[0][at:])
    found.event = event
    return found


def open_entry(event: Event, participation: Participation, slug: str) -> EventChallenge:
    """A challenge that the team may play now: shown, released, allowed and unlocked. Others are not there."""
    rows = EventChallenge.objects.filter(event=event, challenge__slug=slug).shown().for_team(participation.team)
    entry = rows.select_related("challenge").first()
    if entry is None:
        raise NotFound("There is no such challenge.")
    if unmet(entry, participation):
        raise Conflict("Solve what it builds on first.", code="locked")
    entry.event = event
    return entry


def unmet(entry: EventChallenge, participation: Participation) -> bool:
    """Whether something that the entry requires is not solved yet."""
    solved = ScoreEvent.objects.filter(team=participation.team_id, completes=True, event=entry.event_id)
    return entry.requires.exclude(pk__in=solved.values("entry")).exists()


def unlock_hint(event: Event, slug: str, hint_id: int, *, actor: Any) -> Hint:
    """Take a hint for its cost, once for the whole team; again it costs nothing."""
    require(actor, "events.play")
    with transaction.atomic():
        participation = _lock_playing(event, actor)
        entry = open_entry(event, participation, slug)
        hint = entry.challenge.hints.filter(pk=hint_id).first()
        if hint is None:
            raise NotFound("There is no such hint.")
        taken = ScoreEvent.objects.filter(entry=entry, team=participation.team, kind=ScoreKind.HINT, hint=hint)
        if taken.exists():
            return hint
        if hint.cost and (score := scoring.score_of(participation)) < hint.cost:
            raise Conflict(f"The hint costs {hint.cost} points and you have {score}.", code="too_few_points")
        write_score(participation, entry, actor, ScoreKind.HINT, hint=hint, points=-hint.cost)
        audit.record(actor, "challenge.hint_taken", entry, team=participation.team.name, cost=hint.cost)
    return hint


def award_points(participation: Participation, *, actor: Any, points: int, reason: str) -> ScoreEvent:
    """Give a team points, or take some, with a reason that it reads."""
    require(actor, "events.change", participation.event)
    if not reason.strip():
        raise Invalid("Say why: the team reads it.", field="reason")
    if points == 0 or abs(points) > 1_000_000:
        raise Invalid("Name a number of points.", field="points")
    with transaction.atomic():
        Participation.objects.select_for_update(no_key=True, of=("self",)).get(pk=participation.pk)
        made = write_score(participation, None, actor, ScoreKind.AWARD, points=points, reason=reason.strip()[:200])
        audit.record(actor, "event.awarded", participation.event, team=participation.team.name, points=points)
    return made


def fetch_file(event: Event, slug: str, file_id: Any, *, actor: Any) -> ChallengeFile:
    """Let somebody have a file of a challenge that his team may see, and note it."""
    require(actor, "events.play")
    participation = participation_of(event, actor)
    if participation is None:
        raise NotFound("There is no such file.")
    refuse_ban(participation)
    refuse_before_start(event)
    entry = open_entry(event, participation, slug)
    file = entry.challenge.files.filter(pk=file_id).first()
    if file is None:
        raise NotFound("There is no such file.")
    FileDownload.objects.create(
        file=file,
        entry=entry,
        team=participation.team,
        user=actor,
        user_name=actor.username,
        ip=context.current().ip,
    )
    return file


def refuse_before_start(event: Event) -> None:
    """What an event offers is shown from its start on, and when it is over."""
    if event.state not in (EventStatus.RUNNING, EventStatus.PAUSED, EventStatus.COMPLETED):
        raise Conflict("The event has not begun.", code="event_not_running")


def write_score(
    participation: Participation, entry: EventChallenge | None, actor: Any, kind: ScoreKind, **values: Any
) -> ScoreEvent:
    """Add one thing that counts."""
    return ScoreEvent.objects.create(
        event_id=participation.event_id,
        team_id=participation.team_id,
        entry=entry,
        kind=kind,
        user=actor if getattr(actor, "pk", None) else None,
        user_name=str(actor)[:150],
        created_at=clock(),
        **values,
    )


def _lock_playing(event: Event, actor: Any) -> Participation:
    """The actor's participation, held; refused when the event does not run or the team may not play."""
    rows = Participation.objects.select_for_update(no_key=True, of=("self",)).select_related("team")
    participation = rows.of(actor).filter(event=event).first()
    if participation is None:
        raise NotAllowed("Enter the event first.", code="not_registered")
    participation.event = event
    refuse_ban(participation)
    refuse_unless_running(event)
    return participation


def refuse_unless_running(event: Event) -> None:
    """Nobody plays before, after, or while it is paused."""
    state = event.state
    if state == EventStatus.PAUSED:
        raise Conflict("The event is paused.", code="event_paused")
    if state != EventStatus.RUNNING:
        raise Conflict("The event does not run now.", code="event_not_running")


def refuse_ban(participation: Participation) -> None:
    """A banned team is told why it may not play."""
    if participation.is_banned:
        reason = participation.ban_reason or participation.team.ban_reason
        raise NotAllowed(f"Your team is banned: {reason}", code="team_banned")
