"""What a team sees of an event: its challenges, with what they are worth and how far the team is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from challenges import scoring
from challenges.choices import Outcome, ScoreKind
from challenges.models import Event, EventChallenge, Participation, ScoreEvent, Submission

from .play import refuse_before_start


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
    shown = EventChallenge.objects.filter(event=event)
    team = participation.team_id if participation else None
    if participation is not None:
        shown = shown.shown().for_team(participation.team)
    worth = scoring.worths(event, scoring.seen_until(event))
    solved, found = _solved(event, team)
    needed: dict[int, set[int]] = {}
    links = EventChallenge.requires.through.objects.filter(from_eventchallenge__event=event)
    for one, other in links.values_list("from_eventchallenge_id", "to_eventchallenge_id"):
        needed.setdefault(one, set()).add(other)
    wrong = _wrong(participation)
    rows = shown.order_by("position", "id").values_list(
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
    cards = []
    for pk, slug, name, category, difficulty, kind, tags, own_limit, limit in rows:
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


def _solved(event: Event, team: int | None) -> tuple[set[int], dict[int, int]]:
    if team is None:
        return set(), {}
    solved: set[int] = set()
    found: dict[int, int] = {}
    rows = ScoreEvent.objects.filter(event=event, team=team, kind=ScoreKind.SOLVE)
    for entry, completes in rows.values_list("entry_id", "completes"):
        found[entry] = found.get(entry, 0) + 1
        if completes:
            solved.add(entry)
    return solved, found


def _wrong(participation: Participation | None) -> dict[Any, int]:
    if participation is None:
        return {}
    wrong: dict[Any, int] = {}
    rows = Submission.objects.filter(participation=participation, outcome=Outcome.INCORRECT)
    for entry in rows.order_by().values_list("entry_id", flat=True):
        wrong[entry] = wrong.get(entry, 0) + 1
    return wrong
