"""Places and searches of challenges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from accounts.permissions import can
from hub.pages import palette
from hub.pages.navigation import Count, Place, register

from .lists import find_challenge, find_event, find_team
from .models import Challenge, Event, Instance, Team


def _broken(user: Any) -> Count:
    return Count(Instance.objects.visible_to(user).broken().count(), "bad")


register(
    Place(
        "Challenges", "Events", "challenges:event_list", "trophy", lambda user: can(user, "events.view"), position=10
    ),
    Place("Challenges", "Teams", "challenges:team_list", "users", lambda user: can(user, "teams.view"), position=20),
    Place(
        "Challenges",
        "Library",
        "challenges:challenge_list",
        "flag",
        lambda user: can(user, "challenges.view"),
        position=30,
    ),
    Place(
        "Challenges",
        "Instances",
        "challenges:instance_list",
        "box",
        lambda user: can(user, "instances.view_any"),
        _broken,
        35,
    ),
    Place(
        "Challenges",
        "Announcements",
        "challenges:announcement_list",
        "bell",
        lambda user: can(user, "events.view"),
        position=40,
    ),
)


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    for event in find_event(Event.objects.visible_to(user), text)[: palette.PER_GROUP]:
        yield palette.Hit(event.name, event.get_absolute_url(), "trophy", f"Event, {event.state_label.lower()}")
    for team in find_team(Team.objects.visible_to(user).joined(), text)[: palette.PER_GROUP]:
        yield palette.Hit(team.name, team.get_absolute_url(), "users", "Team")
    for challenge in find_challenge(Challenge.objects.visible_to(user), text)[: palette.PER_GROUP]:
        yield palette.Hit(challenge.name, challenge.get_absolute_url(), "flag", "Challenge")


palette.register(_find)
