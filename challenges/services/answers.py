"""Judge answers. This is what a whole event does at once, so its statements are written or kept: composing them anew
would cost several times what they do.

Answers of one team wait for one another at its participation, right ones of all teams at the entry. What is counted is
read by a statement of its own once the lock is held: one that waits for a lock counts what there was before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Count, Exists, OuterRef, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import audit
from accounts.actors import SYSTEM
from accounts.permissions import require
from challenges import flags, scoring
from challenges.choices import FlagLogic, Outcome, ScoreKind
from challenges.content_rules import LONGEST_ANSWER
from challenges.instances import expiry
from challenges.models import (
    Challenge,
    Event,
    EventChallenge,
    Flag,
    Instance,
    Participation,
    ScoreEvent,
    Submission,
    Team,
)
from hub import context
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound, TooMany
from hub.postgres.inserts import insert
from hub.postgres.prepared import prepared_cursor
from hub.statements import column_names, statement

from .common import SAMPLE_KEYS, SAMPLE_TIME
from .play import refuse_ban, refuse_unless_running, write_score

WINDOW = timedelta(minutes=1)
SAMPLE_SINCE = SAMPLE_TIME - WINDOW
USER_AGENT_LENGTH = 200

_HOLD = """
    SELECT p.id, p.event_id, p.team_id, p.banned_at, p.ban_reason, t.id, t.name, t.banned_at, t.ban_reason
    FROM challenges_participation p
    JOIN challenges_membership m ON m.team_id = p.team_id
    JOIN challenges_team t ON t.id = p.team_id
    WHERE m.user_id = %(user)s
    AND p.event_id = coalesce(%(event)s, (SELECT event_id FROM challenges_eventchallenge WHERE id = %(entry)s))
    ORDER BY p.id LIMIT 1 FOR NO KEY UPDATE OF p
"""


def _in_order(model: type[models.Model], *wanted: str) -> list[str]:
    """Some columns in the model's own order, as `from_db` takes them; the others are fetched when somebody asks."""
    return [name for name in column_names(model) if name in wanted]


PARTICIPATION = _in_order(Participation, "id", "event_id", "team_id", "banned_at", "ban_reason")
TEAM = ("id", "name", "banned_at", "ban_reason")
ENTRY = _in_order(EventChallenge, "id", "event_id", "challenge_id", "max_attempts")
CHALLENGE = _in_order(Challenge, "id", "name", "kind", "flag_logic", "flag_secret", "max_attempts", "first_blood_bonus")
EVENT = _in_order(
    Event,
    "id",
    "name",
    "region_id",
    "status",
    "starts_at",
    "ends_at",
    "freeze_at",
    "submissions_per_minute",
    "stops_on_solve",
)
COUNTED = ("is_locked", "recent", "wrong", "found", "is_solved")


@dataclass(frozen=True)
class Answered:
    """What came of an answer; `attempts_remaining` is None without a limit, `is_first_blood` while the board is frozen:
    it would tell whether others have solved it since.
    """

    outcome: str
    message: str
    attempts_remaining: int | None = None
    is_first_blood: bool | None = False


def submit_answer(event: Event, slug: str, *, actor: Any, answer: str, user_agent: str = "") -> Answered:
    """Take an answer. Attempts and the rate are exact, a team solves once, and one of all has first blood."""
    return _submit(actor, answer, user_agent, event=event, slug=slug)


def answer_entry(entry: int, *, actor: Any, answer: str, user_agent: str = "") -> Answered:
    """The same for a challenge of an event that is known by its key alone."""
    return _submit(actor, answer, user_agent, entry=entry)


@dataclass(frozen=True)
class _Asked:
    """A challenge that a team answers, `is_locked` until what it needs is solved.

    `recent` are the team's answers of the last minute, `wrong` and `found` its wrong answers and right flags here.
    """

    entry: EventChallenge
    is_locked: bool
    recent: int
    wrong: int
    found: Sequence[int | None]
    is_solved: bool


@dataclass(frozen=True)
class _Try:
    """An answer on its way; `wrong` and `found` are the team's wrong answers and right flags before it."""

    participation: Participation
    entry: EventChallenge
    actor: Any
    answer: str
    user_agent: str
    wrong: int
    found: Sequence[int | None]
    is_solved: bool

    def store(self, outcome: str, *, attempt: int = 0) -> None:
        insert(
            Submission(
                participation_id=self.participation.pk,
                entry_id=self.entry.pk,
                user_id=self.actor.pk,
                user_name=self.actor.username,
                outcome=outcome,
                answer=self.answer.strip(),
                attempt=attempt,
                ip=context.current().ip,
                user_agent=self.user_agent,
            )
        )


def _submit(
    actor: Any, answer: str, user_agent: str, *, event: Event | None = None, slug: str = "", entry: int | None = None
) -> Answered:
    require(actor, "events.play")
    if not answer.strip():
        raise Invalid("Give an answer.", field="answer")
    if len(answer) > LONGEST_ANSWER:
        raise Invalid(f"An answer has at most {LONGEST_ANSWER} characters.", field="answer")
    with transaction.atomic():
        participation = _hold(actor, event, entry)
        refuse_ban(participation)
        found = _entry(participation, slug, entry)
        if event is not None or found is not None:
            refuse_unless_running(event or found.entry.event)  # type: ignore[union-attr]  # one of the two is there
        if found is None:
            raise NotFound("There is no such challenge.")
        if found.is_locked:
            raise Conflict("Solve what it builds on first.", code="locked")
        participation.event = found.entry.event
        if found.recent >= found.entry.event.submissions_per_minute:
            wait = int(WINDOW.total_seconds())
            raise TooMany("Too many answers. Wait a moment.", retry_after=wait, code="too_fast")
        counted = (found.wrong, found.found, found.is_solved)
        return _judge(_Try(participation, found.entry, actor, answer, user_agent[:USER_AGENT_LENGTH], *counted))


def _hold(actor: Any, event: Event | None, entry: int | None) -> Participation:
    """The actor's participation, locked."""
    with prepared_cursor() as cursor:
        cursor.execute(_HOLD, {"user": actor.pk, "event": event.pk if event else None, "entry": entry})
        row = cursor.fetchone()
    if row is None:
        raise NotAllowed("Enter the event first.", code="not_registered")
    participation = Participation.from_db(DEFAULT_DB_ALIAS, PARTICIPATION, row[: len(PARTICIPATION)])
    participation.team = Team.from_db(DEFAULT_DB_ALIAS, TEAM, row[len(PARTICIPATION) :])
    return participation


def _entry(participation: Participation, slug: str, entry: int | None) -> _Asked | None:
    """The challenge if the team sees it now: shown, released and allowed; with what the team has answered before."""
    name, key = ("pk", entry) if entry is not None else ("challenge__slug", slug)

    def build(key: Any, event: int, team: int, participation: int, now: Any, since: Any) -> Any:
        scores = ScoreEvent.objects.filter(team=team, event=event).order_by()
        needed = EventChallenge.requires.through.objects.filter(from_eventchallenge=OuterRef("pk"))
        answers = Submission.objects.filter(participation=participation).order_by()
        solves = scores.filter(entry=OuterRef("pk"), kind=ScoreKind.SOLVE)
        rows = EventChallenge.objects.filter(**{name: key, "event": event}).shown(now).for_team(Team(pk=team))
        rows = rows.annotate(
            is_locked=Exists(needed.exclude(to_eventchallenge__in=scores.filter(completes=True).values("entry"))),
            recent=_number_of(answers.filter(created_at__gt=since)),
            wrong=_number_of(answers.filter(entry=OuterRef("pk"), outcome=Outcome.INCORRECT)),
            found=ArraySubquery(solves.values("flag_id")),
            is_solved=Exists(solves.filter(completes=True)),
        )
        of_challenge, of_event = (f"challenge__{each}" for each in CHALLENGE), (f"event__{each}" for each in EVENT)
        return rows.order_by().values_list(*ENTRY, *of_challenge, *of_event, *COUNTED)

    samples = (SAMPLE_KEYS[0] if entry is not None else "sample of a slug", *SAMPLE_KEYS[1:], SAMPLE_TIME, SAMPLE_SINCE)
    asked = statement(("challenges.answers", name), build, *samples)
    now = timezone.now()
    rows = asked.rows(key, participation.event_id, participation.team_id, participation.pk, now, now - WINDOW)
    if not rows:
        return None
    row, at = rows[0], len(ENTRY)
    found = EventChallenge.from_db(DEFAULT_DB_ALIAS, ENTRY, row[:at])
    found.challenge = Challenge.from_db(DEFAULT_DB_ALIAS, CHALLENGE, row[at : at + len(CHALLENGE)])
    found.event = Event.from_db(DEFAULT_DB_ALIAS, EVENT, row[at + len(CHALLENGE) : -len(COUNTED)])
    return _Asked(found, *row[-len(COUNTED) :])


def _number_of(rows: models.QuerySet[Submission]) -> Coalesce:
    """How many there are, as a subquery."""
    counted = rows.annotate(whole=Value(1)).values("whole").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(counted), 0)


def _judge(given: _Try) -> Answered:
    entry, allowed = given.entry, given.entry.attempts_allowed
    if given.is_solved:
        given.store(Outcome.ALREADY_SOLVED)
        return Answered(Outcome.ALREADY_SOLVED, "Your team has solved this.")
    if allowed and given.wrong >= allowed:
        given.store(Outcome.MAX_ATTEMPTS)
        return Answered(Outcome.MAX_ATTEMPTS, "Your team has no attempts left.", 0)
    known = _flags(entry.challenge)
    found = flags.find(known, given.answer, given.participation.team, entry.event)
    if found is None:
        given.store(Outcome.INCORRECT, attempt=given.wrong + 1)
        left = allowed - given.wrong - 1 if allowed else None
        return Answered(Outcome.INCORRECT, _wrong_words(left), left)
    if found.pk in given.found:
        given.store(Outcome.ALREADY_SOLVED)
        return Answered(Outcome.ALREADY_SOLVED, "Your team has found this flag. There are others.")
    return _solve(given, found, known)


def _flags(challenge: Challenge) -> list[Flag]:
    def build(challenge: int) -> Any:
        return Flag.objects.filter(challenge=challenge).values_list(*column_names(Flag))

    rows = statement("challenges.answers.flags", build, SAMPLE_KEYS[0]).rows(challenge.pk)
    known = [Flag.from_db(DEFAULT_DB_ALIAS, column_names(Flag), row) for row in rows]
    for flag in known:
        flag.challenge = challenge
    return known


def _solve(given: _Try, found: Flag, known: list[Flag]) -> Answered:
    entry = given.entry
    EventChallenge.objects.select_for_update(no_key=True).only("pk").get(pk=entry.pk)
    needs_all = entry.challenge.flag_logic == FlagLogic.ALL
    left = {flag.pk for flag in known} - {
        *given.found,
        found.pk,
    }  # one that was found and removed since is none of them
    completes = not needs_all or not left
    solve = {"flag": found, "parts": len(known) if needs_all else 1, "completes": completes}
    write_score(given.participation, entry, given.actor, ScoreKind.SOLVE, **solve)
    is_first = completes and not ScoreEvent.objects.filter(entry=entry, kind=ScoreKind.FIRST_BLOOD).exists()
    if is_first:
        bonus = entry.challenge.first_blood_bonus
        write_score(given.participation, entry, given.actor, ScoreKind.FIRST_BLOOD, points=bonus)
    if completes:
        transaction.on_commit(partial(scoring.forget_worths, entry.event_id))
    outcome = Outcome.CORRECT if completes else Outcome.PARTIAL
    given.store(outcome)
    team = given.participation.team.name
    audit.record(given.actor, "challenge.solved", entry, team=team, part=found.name, is_first=is_first)
    if not completes:
        return Answered(outcome, f"Right. {len(left)} more to find.")
    if entry.event.stops_on_solve:
        _stop_copy(given)
    if entry.event.is_frozen:
        return Answered(outcome, "Right.", is_first_blood=None)
    return Answered(outcome, "Right, and you are the first." if is_first else "Right.", is_first_blood=is_first)


def _stop_copy(given: _Try) -> None:
    """What the team runs of the challenge has served; `settle_instances` finds it too, should this be lost."""
    rows = Instance.objects.wanted().select_related("node__region", "event")
    rows = rows.select_for_update(no_key=True, of=("self",))
    keys = {"event": given.entry.event_id, "challenge": given.entry.challenge_id, "team": given.participation.team_id}
    if instance := rows.filter(**keys).first():
        expiry.end(instance, actor=SYSTEM, verb="expire", reason="The challenge is solved.")


def _wrong_words(left: int | None) -> str:
    if left is None:
        return "Not right."
    return (
        f"Not right. {left} {'attempt' if left == 1 else 'attempts'} left."
        if left
        else "Not right, and no attempts are left."
    )
