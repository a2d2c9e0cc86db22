"""A challenge as a team sees it, for pages and the API alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from challenges import scoring
from challenges.choices import FlagLogic, Outcome, ScoreKind
from challenges.models import ChallengeFile, Event, EventChallenge, Participation, ScoreEvent, Submission


@dataclass(frozen=True)
class PlayHint:
    """A hint; its content only once it was taken."""

    id: int
    title: str
    kind: str
    cost: int
    is_taken: bool
    content: str | None


@dataclass(frozen=True)
class Play:
    """One challenge in one event for one team, or for an organiser who has none."""

    id: int
    event: str
    slug: str
    name: str
    category: str
    description: str
    author: str
    difficulty: str
    kind: str
    tags: list[str]
    points: int
    solves: int
    is_solved: bool
    flags: int
    found: int
    attempts_remaining: int | None
    hints: list[PlayHint]
    files: list[Any]
    first_solvers: list[scoring.Solver]


def play_of(event: Event, entry: EventChallenge, participation: Participation | None) -> Play:
    """All that the page of a challenge shows."""
    challenge = entry.challenge
    worth = scoring.shown_worths(event, [entry.pk])[entry.pk]
    mine = list(_mine(entry, participation))
    taken = {hint for kind, hint, _ in mine if kind == ScoreKind.HINT}
    flags = challenge.flags.count() if challenge.flag_logic == FlagLogic.ALL else 1
    return Play(
        id=entry.pk,
        event=event.slug,
        slug=challenge.slug,
        name=challenge.name,
        category=challenge.category,
        description=challenge.description,
        author=challenge.author,
        difficulty=challenge.difficulty,
        kind=challenge.kind,
        tags=challenge.tags,
        points=worth.points,
        solves=worth.solves,
        is_solved=any(completes for _, _, completes in mine),
        flags=flags,
        found=sum(kind == ScoreKind.SOLVE for kind, _, _ in mine),
        attempts_remaining=_attempts_left(entry, participation),
        hints=[
            PlayHint(
                id=hint.pk,
                title=str(hint),
                kind=hint.kind,
                cost=hint.cost,
                is_taken=(is_taken := participation is None or hint.pk in taken),
                content=hint.content if is_taken else None,
            )
            for hint in challenge.hints.all()
        ],
        files=list(challenge.files.all()),
        first_solvers=scoring.first_solvers(event, entry.pk),
    )


def as_download(file: ChallengeFile) -> HttpResponseBase:
    """A file to be stored, whatever it holds: no browser shows it on the hub's own pages."""
    if settings.HUB_CHALLENGE_FILE_ACCEL:
        left_to_proxy = HttpResponse(content_type="application/octet-stream")
        left_to_proxy["X-Accel-Redirect"] = f"{settings.HUB_CHALLENGE_FILE_ACCEL}{file.content.name}"
        left_to_proxy["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=file.name)
        return left_to_proxy
    return FileResponse(
        file.content.open(), as_attachment=True, filename=file.name, content_type="application/octet-stream"
    )


def _mine(entry: EventChallenge, participation: Participation | None) -> Any:
    if participation is None:
        return []
    rows = ScoreEvent.objects.filter(entry=entry, team=participation.team_id)
    return rows.values_list("kind", "hint_id", "completes")


def _attempts_left(entry: EventChallenge, participation: Participation | None) -> int | None:
    allowed = entry.attempts_allowed
    if not allowed or participation is None:
        return None
    wrong = Submission.objects.filter(entry=entry, participation=participation, outcome=Outcome.INCORRECT)
    return max(allowed - wrong.count(), 0)
