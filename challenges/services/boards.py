"""What a team sees of an event: its challenges, with what they are worth and how far the team is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.utils import timezone

from challenges import scoring
from challenges.models import Event, EventChallenge, Participation, Team
from hub.postgres.prepared import prepared_cursor
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


_DONE = """
    SELECT entry_id, count(*), bool_or(completes) FROM challenges_scoreevent
    WHERE event_id = %(event)s AND team_id = %(team)s AND kind = 'solve' GROUP BY entry_id
    UNION ALL
    SELECT entry_id, count(*), NULL FROM challenges_submission
    WHERE participation_id = %(participation)s AND outcome = 'incorrect' GROUP BY entry_id
"""


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
    shown = _shown(event, team)
    worth = scoring.shown_worths(event, [row[0] for row in shown])
    solved, found, wrong = _done(participation)
    cards = []
    for pk, slug, name, category, difficulty, kind, tags, own_limit, limit, needed in shown:
        is_locked = participation is not None and not solved.issuperset(needed)
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
                solves=0 if is_locked else worth[pk].solves,
                is_solved=pk in solved,
                is_locked=is_locked,
                found=found.get(pk, 0),
                attempts_remaining=max(allowed - wrong.get(pk, 0), 0)
                if allowed and participation and not is_locked
                else None,
            )
        )
    return cards


def _shown(event: Event, team: int | None) -> list[Row]:
    """What the event shows to a team now; to those who look after it, all."""

    def build(event: int, team: int, now: datetime) -> Any:
        rows = EventChallenge.objects.filter(event=event)
        if is_for_team:
            rows = rows.shown(now).for_team(Team(pk=team))
        links = EventChallenge.requires.through.objects.filter(from_eventchallenge=OuterRef("pk"))
        rows = rows.annotate(needed=ArraySubquery(links.values("to_eventchallenge_id")))
        return rows.order_by("position", "id").values_list(*COLUMNS, "needed")

    is_for_team = team is not None
    asked = statement(("challenges.board", is_for_team), build, SAMPLE_KEYS[0], SAMPLE_KEYS[1], SAMPLE_TIME)
    return asked.rows(event.pk, team, timezone.now())


def _done(participation: Participation | None) -> tuple[set[int], dict[int, int], dict[int, int]]:
    """What a team has solved; how many flags it has found, and how often it was wrong, of each challenge."""
    solved: set[int] = set()
    found: dict[int, int] = {}
    wrong: dict[int, int] = {}
    if participation is not None:
        keys = {"event": participation.event_id, "team": participation.team_id, "participation": participation.pk}
        with prepared_cursor() as cursor:
            cursor.execute(_DONE, keys)
            for entry, number, completes in cursor.fetchall():
                if completes is None:
                    wrong[entry] = number
                    continue
                found[entry] = number
                if completes:
                    solved.add(entry)
    return solved, found, wrong
