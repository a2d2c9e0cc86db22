"""What a team does in an event: answer, take hints, fetch files; counted under the lock of its participation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.permissions import require
from challenges import flags, scoring
from challenges.choices import EventStatus, FlagLogic, Outcome, ScoreKind
from challenges.content_rules import LONGEST_ANSWER
from challenges.models import (
    ChallengeFile,
    Event,
    EventChallenge,
    FileDownload,
    Hint,
    Participation,
    ScoreEvent,
    Submission,
)
from hub import context
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound, TooMany

from .common import clock

if TYPE_CHECKING:
    from challenges.models import Flag

WINDOW = timedelta(minutes=1)
USER_AGENT_LENGTH = 200


@dataclass(frozen=True)
class Answered:
    """What came of an answer; `attempts_remaining` is None without a limit."""

    outcome: str
    message: str
    attempts_remaining: int | None = None
    is_first_blood: bool = False


def participation_of(event: Event, user: Any) -> Participation | None:
    """The participation of somebody in an event."""
    return Participation.objects.of(user).filter(event=event).select_related("team", "event__region").first()


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


def submit_answer(event: Event, slug: str, *, actor: Any, answer: str, user_agent: str = "") -> Answered:
    """Take an answer. Attempts and the rate are exact, a team solves once, and one of all has first blood.

    Answers of one team wait for one another at its participation, right ones of all teams at the entry.
    """
    require(actor, "events.play")
    if not answer.strip():
        raise Invalid("Give an answer.", field="answer")
    if len(answer) > LONGEST_ANSWER:
        raise Invalid(f"An answer has at most {LONGEST_ANSWER} characters.", field="answer")
    with transaction.atomic():
        participation = _lock_playing(event, actor)
        entry = open_entry(event, participation, slug)
        _refuse_haste(event, participation)
        return _judge(_Try(participation, entry, actor, answer, user_agent[:USER_AGENT_LENGTH]))


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
        _score(participation, entry, actor, ScoreKind.HINT, hint=hint, points=-hint.cost)
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
        made = _score(participation, None, actor, ScoreKind.AWARD, points=points, reason=reason.strip()[:200])
        audit.record(actor, "event.awarded", participation.event, team=participation.team.name, points=points)
    return made


def fetch_file(event: Event, slug: str, file_id: Any, *, actor: Any) -> ChallengeFile:
    """Let somebody have a file of a challenge that his team may see, and note it."""
    require(actor, "events.play")
    participation = participation_of(event, actor)
    if participation is None:
        raise NotFound("There is no such file.")
    _refuse_ban(participation)
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


@dataclass(frozen=True)
class _Try:
    """An answer on its way."""

    participation: Participation
    entry: EventChallenge
    actor: Any
    answer: str
    user_agent: str

    def store(self, outcome: str, *, attempt: int = 0) -> None:
        Submission.objects.create(
            participation=self.participation,
            entry=self.entry,
            user=self.actor,
            user_name=self.actor.username,
            outcome=outcome,
            answer=self.answer.strip(),
            attempt=attempt,
            ip=context.current().ip,
            user_agent=self.user_agent,
        )


def _judge(given: _Try) -> Answered:
    entry, team = given.entry, given.participation.team
    solves = list(
        ScoreEvent.objects.filter(entry=entry, team=team, kind=ScoreKind.SOLVE).values_list("flag_id", "completes")
    )
    if any(completes for _, completes in solves):
        given.store(Outcome.ALREADY_SOLVED)
        return Answered(Outcome.ALREADY_SOLVED, "Your team has solved this.")
    allowed, wrong = entry.attempts_allowed, 0
    wrong = Submission.objects.filter(entry=entry, participation=given.participation, outcome=Outcome.INCORRECT).count()
    if allowed and wrong >= allowed:
        given.store(Outcome.MAX_ATTEMPTS)
        return Answered(Outcome.MAX_ATTEMPTS, "Your team has no attempts left.", 0)
    known = list(entry.challenge.flags.select_related("challenge"))
    found = flags.find(known, given.answer, team, entry.event)
    if found is None:
        given.store(Outcome.INCORRECT, attempt=wrong + 1)
        left = allowed - wrong - 1 if allowed else None
        return Answered(Outcome.INCORRECT, _wrong_words(left), left)
    if found.pk in {flag for flag, _ in solves}:
        given.store(Outcome.ALREADY_SOLVED)
        return Answered(Outcome.ALREADY_SOLVED, "Your team has found this flag. There are others.")
    return _solve(given, found, known, len(solves))


def _solve(given: _Try, found: Flag, known: list[Flag], before: int) -> Answered:
    entry = given.entry
    EventChallenge.objects.select_for_update(no_key=True).only("pk").get(pk=entry.pk)
    needs_all = entry.challenge.flag_logic == FlagLogic.ALL
    completes = not needs_all or before + 1 >= len(known)
    solve = {"flag": found, "parts": len(known) if needs_all else 1, "completes": completes}
    _score(given.participation, entry, given.actor, ScoreKind.SOLVE, **solve)
    is_first = completes and not ScoreEvent.objects.filter(entry=entry, kind=ScoreKind.FIRST_BLOOD).exists()
    if is_first:
        bonus = entry.challenge.first_blood_bonus
        _score(given.participation, entry, given.actor, ScoreKind.FIRST_BLOOD, points=bonus)
    outcome = Outcome.CORRECT if completes else Outcome.PARTIAL
    given.store(outcome)
    team = given.participation.team.name
    audit.record(given.actor, "challenge.solved", entry, team=team, part=found.name, is_first=is_first)
    if not completes:
        return Answered(outcome, f"Right. {len(known) - before - 1} more to find.")
    return Answered(outcome, "Right, and you are the first." if is_first else "Right.", is_first_blood=is_first)


def _score(
    participation: Participation, entry: EventChallenge | None, actor: Any, kind: ScoreKind, **values: Any
) -> ScoreEvent:
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
    _refuse_ban(participation)
    state = event.state
    if state == EventStatus.PAUSED:
        raise Conflict("The event is paused.", code="event_paused")
    if state != EventStatus.RUNNING:
        raise Conflict("The event does not run now.", code="event_not_running")
    return participation


def _refuse_ban(participation: Participation) -> None:
    if participation.is_banned:
        reason = participation.ban_reason or participation.team.ban_reason
        raise NotAllowed(f"Your team is banned: {reason}", code="team_banned")


def _refuse_haste(event: Event, participation: Participation) -> None:
    since = timezone.now() - WINDOW
    recent = Submission.objects.filter(participation=participation, created_at__gt=since)
    if recent.count() >= event.submissions_per_minute:
        raise TooMany("Too many answers. Wait a moment.", retry_after=int(WINDOW.total_seconds()), code="too_fast")


def _wrong_words(left: int | None) -> str:
    if left is None:
        return "Not right."
    return (
        f"Not right. {left} {'attempt' if left == 1 else 'attempts'} left."
        if left
        else "Not right, and no attempts are left."
    )
