"""What a challenge is worth, and who stands where: everything computed from the score events before one moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.cache import cache
from django.db import connection
from rest_framework.renderers import JSONRenderer

from .choices import ScoreKind, Scoring

if TYPE_CHECKING:
    from .models import Event, Participation

CURVE_LENGTH = 50
KEPT_SECONDS = 3
"""How old a scoreboard, or what challenges are worth, may be where many look at it."""
CHART_TEAMS = 10
SHOWN_SOLVERS = 5
FAR = datetime(9999, 1, 1, tzinfo=UTC)
"""After all that has happened, whatever this machine's clock says."""

_WORTH = """
    SELECT e.id, coalesce(e.points_override, c.points), c.scoring, c.minimum_points, c.decay, coalesce(n.solves, 0)
    FROM challenges_eventchallenge e JOIN challenges_challenge c ON c.id = e.challenge_id
    LEFT JOIN (
        SELECT s.entry_id, count(*) AS solves FROM challenges_scoreevent s
        JOIN challenges_participation p ON p.event_id = s.event_id AND p.team_id = s.team_id
        JOIN challenges_team t ON t.id = s.team_id
        WHERE s.event_id = %(event)s AND s.completes AND s.created_at < %(until)s
        AND p.banned_at IS NULL AND t.banned_at IS NULL
        GROUP BY s.entry_id
    ) n ON n.entry_id = e.id
    WHERE e.event_id = %(event)s
"""
_STANDINGS = """
    WITH worth(entry, points) AS (SELECT * FROM unnest(%(entries)s::bigint[], %(points)s::int[]))
    SELECT t.id, t.name,
        coalesce(sum(
            CASE WHEN s.kind = 'solve' THEN greatest(w.points / s.parts, 1) ELSE s.points END
        ), 0)::int AS total,
        count(*) FILTER (WHERE s.completes) AS solves,
        max(s.created_at) FILTER (WHERE s.kind = 'solve') AS last_at
    FROM challenges_participation p JOIN challenges_team t ON t.id = p.team_id
    LEFT JOIN challenges_scoreevent s
        ON s.event_id = p.event_id AND s.team_id = p.team_id AND s.created_at < %(until)s
    LEFT JOIN worth w ON w.entry = s.entry_id
    WHERE p.event_id = %(event)s AND p.banned_at IS NULL AND t.banned_at IS NULL
    GROUP BY t.id, t.name
    ORDER BY total DESC, solves DESC, last_at NULLS LAST, t.id
"""


@dataclass(frozen=True)
class Worth:
    """What an entry gives its solvers, and how many they are."""

    points: int
    solves: int


class Solver(NamedTuple):
    """A team that has solved a challenge."""

    team: str
    at: datetime


@dataclass(frozen=True)
class Standing:
    """One line of the scoreboard."""

    place: int
    team_id: int
    team: str
    points: int
    solves: int
    last_at: datetime | None


@dataclass(frozen=True)
class Line:
    """One line of a team's own score."""

    at: datetime
    kind: str
    label: str
    user_name: str
    points: int
    total: int


def value(scoring: str, points: int, minimum: int, decay: int, solves: int) -> int:
    """What a challenge is worth to all its solvers after so many solves; the first one takes nothing off."""
    passed = max(solves - 1, 0)
    if scoring == Scoring.STATIC or passed == 0 or decay < 1:
        return points
    least = min(minimum, points)
    if scoring == Scoring.LINEAR:
        return max(points - decay * passed, least)
    return max(points - (points - least) * passed**2 // decay**2, least)


def curve(scoring: str, points: int, minimum: int, decay: int, length: int = CURVE_LENGTH) -> list[int]:
    """The value after the first, second, … solve."""
    return [value(scoring, points, minimum, decay, solves) for solves in range(1, length + 1)]


def seen_until(event: Event) -> datetime:
    """The moment up to which participants see scores: the freeze while it lasts."""
    return event.freeze_at if event.is_frozen and event.freeze_at else FAR


def worths(event: Event, until: datetime) -> dict[int, Worth]:
    """What each entry of the event is worth, counting the solves before a moment by teams that nobody has banned."""
    with connection.cursor() as cursor:
        cursor.execute(_WORTH, {"event": event.pk, "until": until})
        return {
            pk: Worth(value(scoring, points, minimum, decay, solves), solves)
            for pk, points, scoring, minimum, decay, solves in cursor.fetchall()
        }


def shown_worths(event: Event, entries: Iterable[int]) -> dict[int, Worth]:
    """The same as participants see it, a few seconds old at most; what a team has just solved is always in it.

    What is kept carries the mark that stood when counting began, and every solve sets another mark once it is
    committed: so nothing that was counted before a solve is shown after it.
    """
    key, mark = f"challenges:worths:{event.pk}:{_moment(event)}", _mark(event.pk)
    known = cache.get_many([key, mark])
    kept = known.get(key)
    if kept is None or kept[0] != known.get(mark) or not all(pk in kept[1] for pk in entries):
        found = worths(event, seen_until(event))
        kept = (known.get(mark), {pk: (each.points, each.solves) for pk, each in found.items()})
        cache.set(key, kept, KEPT_SECONDS)
    return {pk: Worth(*each) for pk, each in kept[1].items()}


def forget_worths(event_id: int) -> None:
    """Have the next look count anew. To be called once what has changed is committed."""
    cache.set(_mark(event_id), uuid.uuid4().hex, 20 * KEPT_SECONDS)


def _mark(event_id: int) -> str:
    return f"challenges:solved:{event_id}"


def _moment(event: Event, *, is_live: bool = False) -> str:
    return "live" if is_live or not event.is_frozen else f"frozen:{event.freeze_at:%s}"


def standings(event: Event, until: datetime) -> list[Standing]:
    """Everybody's place: points, then solves, then who had them first (P87)."""
    worth = worths(event, until)
    facts: dict[str, Any] = {
        "event": event.pk,
        "until": until,
        "entries": list(worth),
        "points": [each.points for each in worth.values()],
    }
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS, facts)
        return [Standing(place, *row) for place, row in enumerate(cursor.fetchall(), 1)]


def board(event: Event, *, is_live: bool = False) -> list[Standing]:
    """The scoreboard as participants see it, or as it really stands; a few seconds old at most."""
    found: list[Standing] = _kept("rows", event, is_live, lambda rows: rows)
    return found


def board_as_json(event: Event, *, is_live: bool = False) -> bytes:
    """The same for programs, encoded once for all who ask within these seconds."""
    found: bytes = _kept("json", event, is_live, lambda rows: JSONRenderer().render([vars(row) for row in rows]))
    return found


def _kept(form: str, event: Event, is_live: bool, made_of: Callable[[list[Standing]], Any]) -> Any:
    key = f"challenges:board:{event.pk}:{_moment(event, is_live=is_live)}:{form}"
    if (kept := cache.get(key)) is None:
        kept = made_of(standings(event, FAR if is_live else seen_until(event)))
        cache.set(key, kept, KEPT_SECONDS)
    return kept


def lines(participation: Participation, *, is_live: bool = False) -> list[Line]:
    """A team's own score, line by line.

    While the board is frozen a challenge is worth what the solves before the freeze have made of it and, where the team
    solved it later, its own: other teams' later solves do not show. Nor does first blood, which would tell that there
    were none.
    """
    event = participation.event
    until = FAR if is_live else seen_until(event)
    worth = worths(event, until)
    rows = (
        event.score_events.filter(team=participation.team_id)
        .exclude(kind=ScoreKind.FIRST_BLOOD, created_at__gte=until)
        .select_related("entry__challenge", "hint", "flag")
        .order_by("created_at", "id")
    )
    total, found = 0, []
    for row in rows:
        points = row.points
        if row.kind == ScoreKind.SOLVE and row.entry_id in worth:
            points = max(_own_value(row, worth[row.entry_id], until) // row.parts, 1)
        total += points
        found.append(Line(row.created_at, row.get_kind_display(), _label(row), row.user_name, points, total))
    return found


def score_of(participation: Participation) -> int:
    """The points that a team has to spend on hints."""
    found = lines(participation)
    return found[-1].total if found else 0


def history(event: Event, *, is_live: bool = False) -> list[dict[str, Any]]:
    """The scores of the first teams over time, for a chart."""
    first = board(event, is_live=is_live)[:CHART_TEAMS]
    until = FAR if is_live else seen_until(event)
    worth = worths(event, until)
    ids = [standing.team_id for standing in first]
    rows = event.score_events.filter(team__in=ids, created_at__lt=until).order_by("created_at", "id")
    totals: dict[int, list[tuple[datetime, int]]] = {pk: [] for pk in ids}
    for team_id, kind, entry, parts, points, at in rows.values_list(
        "team_id", "kind", "entry_id", "parts", "points", "created_at"
    ):
        if kind == ScoreKind.SOLVE and entry in worth:
            points = max(worth[entry].points // parts, 1)
        steps = totals[team_id]
        steps.append((at, (steps[-1][1] if steps else 0) + points))
    return [{"team": each.team, "place": each.place, "steps": totals[each.team_id]} for each in first]


def first_solvers(event: Event, entry: int) -> list[Solver]:
    """The first teams that solved a challenge and when, as participants see it; not those that are banned."""
    playing = event.participations.playing().values("team")
    rows = event.score_events.filter(entry=entry, completes=True, created_at__lt=seen_until(event), team__in=playing)
    found = rows.order_by("created_at", "id").values_list("team__name", "created_at")[:SHOWN_SOLVERS]
    return [Solver(*row) for row in found]


def _own_value(row: Any, worth: Worth, until: datetime) -> int:
    if row.created_at < until:
        return worth.points
    challenge = row.entry.challenge
    return value(challenge.scoring, row.entry.base_points, challenge.minimum_points, challenge.decay, worth.solves + 1)


def _label(row: Any) -> str:
    about = row.entry.challenge.name if row.entry else row.reason
    if row.kind == ScoreKind.HINT and row.hint:
        return f"{about}: {row.hint}"
    return f"{about}: {row.flag.name}" if row.flag and row.parts > 1 else str(about)
