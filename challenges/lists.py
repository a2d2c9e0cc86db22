"""What the lists of challenges, events and teams can do, on pages and in the API."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from hub.pages.lists import Chip, Column, Spec

from .choices import CATEGORIES, ChallengeKind, ChallengeState, EventStatus, Outcome

Rows = QuerySet[Any]


def find_challenge(rows: Rows, text: str) -> Rows:
    return rows.filter(Q(name__icontains=text) | Q(category__icontains=text) | Q(author__icontains=text))


def find_event(rows: Rows, text: str) -> Rows:
    return rows.filter(Q(name__icontains=text) | Q(slug__icontains=text))


def find_team(rows: Rows, text: str) -> Rows:
    return rows.filter(Q(name__icontains=text) | Q(captain__username__icontains=text))


def find_entry(rows: Rows, text: str) -> Rows:
    return rows.filter(Q(challenge__name__icontains=text) | Q(event__name__icontains=text))


def find_announcement(rows: Rows, text: str) -> Rows:
    return rows.filter(Q(title__icontains=text) | Q(message__icontains=text))


def find_submission(rows: Rows, text: str) -> Rows:
    by_name = Q(participation__team__name__icontains=text) | Q(entry__challenge__name__icontains=text)
    return rows.filter(by_name | Q(user_name__icontains=text))


def _in_states(rows: Rows, values: list[str]) -> Rows:
    """By the state that the clock has made."""
    wanted = Q(pk__in=[])
    for value in values:
        wanted |= Q(pk__in=rows.model.objects.in_state(value).order_by().values("pk"))
    return rows.filter(wanted)


CHALLENGES = Spec(
    key="challenges",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("category", "Category", order="category", value=lambda row: row.category),
        Column("state", "State", order="state", value=lambda row: row.state),
        Column("kind", "Kind", order="kind", value=lambda row: row.kind),
        Column("difficulty", "Difficulty", value=lambda row: row.difficulty),
        Column("points", "Points", order="points", value=lambda row: row.points, css="k-num"),
        Column("updated", "Changed", order="updated_at", value=lambda row: row.updated_at.isoformat()),
    ),
    chips=(
        Chip("state", "State", lambda _: ChallengeState.choices),
        Chip("kind", "Kind", lambda _: ChallengeKind.choices),
        Chip("category", "Category", lambda _: [(each, each) for each in CATEGORIES]),
    ),
    search=find_challenge,
    search_hint="Name, category or author",
    order="name",
)
EVENTS = Spec(
    key="events",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("state", "State", value=lambda row: row.state),
        Column("region", "Region", value=lambda row: row.region_slug),
        Column("starts", "Starts", order="starts_at", value=lambda row: row.starts_at.isoformat()),
        Column("ends", "Ends", order="ends_at", value=lambda row: row.ends_at.isoformat()),
    ),
    chips=(Chip("state", "State", lambda _: EventStatus.choices, by=_in_states),),
    search=find_event,
    search_hint="Name",
    order="-starts_at",
)
TEAMS = Spec(
    key="teams",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("captain", "Captain", order="captain__username", value=lambda row: row.captain.username),
        Column("region", "Region", value=lambda row: row.region_slug),
        Column("created", "Made", order="created_at", value=lambda row: row.created_at.isoformat()),
    ),
    search=find_team,
    search_hint="Name or captain",
    order="name",
)
SUBMISSIONS = Spec(
    key="submissions",
    columns=(
        Column("outcome", "Outcome", order="outcome", value=lambda row: row.outcome, is_fixed=True),
        Column("challenge", "Challenge", order="entry__challenge__name", value=lambda row: row.entry.challenge.name),
        Column("team", "Team", order="participation__team__name", value=lambda row: row.participation.team.name),
        Column("by", "By", order="user_name", value=lambda row: row.user_name),
        Column("attempt", "Wrong answer", value=lambda row: row.attempt or "", css="k-num"),
        Column("when", "When", order="created_at", value=lambda row: row.created_at.isoformat()),
        Column("ip", "From", order="ip", value=lambda row: row.ip or "", is_default=False),
    ),
    chips=(Chip("outcome", "Outcome", lambda _: Outcome.choices),),
    search=find_submission,
    search_hint="Team, challenge or person",
    order="-created_at",
)
