"""What a team sees of an event: its challenges, with what they are worth and how far the team is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count
from django.utils import timezone

from challenges import scoring
from challenges.choices import Outcome, ScoreKind
from challenges.models import Event, EventChallenge, Participation, ScoreEvent, Submission, Team
from hub.statements import Row, statement

from .common import SAMPLE_KEYS, SAMPLE_TIME
from .play import refuse_before_start

COLUMNS = (
    "pk",
    "challenge__slug",
    "challenge__name",
    "challenge__category",
    "challenge__difficulty",
    "challenge__kind",
    "challenge__tags",
    "max_attempts",
    "challenge__max_attempts",
)


@dataclass(frozen=True)
class Card:
    """One challenge on the board. Of a locked one only category and value are shown."""

    entry_id: int
    slug: str
    name: str
    category: str
    difficulty: str
    kind: str
    tags: Sequence[str]
    points: int
    solves: int
    is_solved: bool
    is_locked: bool
    found: int
    attempts_remaining: int | None


def cards(event: Event, participation: Participation | None) -> list[Card]:
    """The board of a team; of nobody in particular for those who look after the event."""
    if participation is not None:
        refuse_before_start(event)
    team = participation.team_id if participation else None
    worth = scoring.worths(event, scoring.seen_until(event))
    solved, found = _solved(event, team)
    needed = _needed(event)
    wrong = _wrong(participation)
    cards = []
    for pk, slug, name, category, difficulty, kind, tags, own_limit, limit in _shown(event, team):
        is_locked = participation is not None and not needed.get(pk, set()) <= solved
        allowed = limit if own_limit is None else own_limit
        cards.append(
            Card(
                entry_id=pk,
                slug="" if is_locked else slug,
                name="Locked" if is_locked else name,
                category=category,
                difficulty="" if is_locked else difficulty,
                kind="" if is_locked else kind,
                tags=[] if is_locked else tags,
                points=worth[pk].points,
                solves=worth[pk].solves,
                is_solved=pk in solved,
                is_locked=is_locked,
                found=found.get(pk, 0),
                attempts_remaining=max(allowed - wrong.get(pk, 0), 0) if allowed and participation else None,
            )
        )
    return cards


def _shown(event: Event, team: int | None) -> list[Row]:
    """What the event shows to a team now; to those who look after it, all."""

    def build(event: int, team: int, now: datetime) -> Any:
        rows = EventChallenge.objects.filter(event=event)
        if is_for_team:
            rows = rows.shown(now).for_team(Team(pk=team))
        return rows.order_by("position", "id").values_list(*COLUMNS)

    is_for_team = team is not None
    asked = statement(("challenges.board", is_for_team), build, SAMPLE_KEYS[0], SAMPLE_KEYS[1], SAMPLE_TIME)
    return asked.rows(event.pk, team, timezone.now())


def _needed(event: Event) -> dict[int, set[int]]:
    """For each entry that builds on others, those."""

    def build(event: int) -> Any:
        links = EventChallenge.requires.through.objects.filter(from_eventchallenge__event=event)
        return links.values_list("from_eventchallenge_id", "to_eventchallenge_id")

    needed: dict[int, set[int]] = {}
    for one, other in statement("challenges.board.needed", build, SAMPLE_KEYS[0]).rows(event.pk):
        needed.setdefault(one, set()).add(other)
    return needed


def _solved(event: Event, team: int | None) -> tuple[set[int], dict[int, int]]:
    if team is None:
        return set(), {}

    def build(event: int, team: int) -> Any:
        rows = ScoreEvent.objects.filter(event=event, team=team, kind=ScoreKind.SOLVE)
        return rows.order_by().values_list("entry_id", "completes")

    solved: set[int] = set()
    found: dict[int, int] = {}
    for entry, completes in statement("challenges.board.solved", build, *SAMPLE_KEYS[:2]).rows(event.pk, team):
        found[entry] = found.get(entry, 0) + 1
        if completes:
            solved.add(entry)
    return solved, found


def _wrong(participation: Participation | None) -> dict[int, int]:
    if participation is None:
        return {}

    def build(participation: int) -> Any:
        rows = Submission.objects.filter(participation=participation, outcome=Outcome.INCORRECT)
        return rows.order_by().values("entry_id").annotate(count=Count("pk")).values_list("entry_id", "count")

    return dict(statement("challenges.board.wrong", build, SAMPLE_KEYS[0]).rows(participation.pk))
