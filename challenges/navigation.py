"""Places, totals, concerns and searches of challenges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Count as CountOf
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.nodes.choices import BROKEN, IN_PROGRESS, DesiredStatus, ObservedStatus
from hub.pages import overview, palette
from hub.pages.navigation import Count, Place, register
from hub.pages.overview import Concern, Contribution, Total
from hub.pages.states import badge, workload_badge
from hub.statements import statement, totals

from .instances.lists import find as find_instance
from .lists import find_challenge, find_event, find_team
from .models import Challenge, Event, Instance, Team

CONCERNS = 10


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
    rows = Instance.objects.visible_to(user).alive().select_related("challenge", "team")
    for instance in find_instance(rows, text)[: palette.PER_GROUP]:
        note = f"Instance, {workload_badge(instance).word.lower()}"
        yield palette.Hit(_name(instance), instance.get_absolute_url(), "box", note, str(instance.pk))


COUNTS: Final = {
    "all": CountOf("pk"),
    "running": CountOf("pk", filter=Q(observed_status=ObservedStatus.RUNNING)),
    "failed": CountOf("pk", filter=Q(observed_status__in=BROKEN, desired_status=DesiredStatus.RUNNING)),
    "waiting": CountOf("pk", filter=Q(observed_status=ObservedStatus.QUEUED)),
    "busy": CountOf("pk", filter=Q(observed_status__in=IN_PROGRESS - {ObservedStatus.QUEUED})),
}


def _overview(request: HttpRequest) -> Contribution:
    """For organisers always; for a player while his team has instances."""
    user: Any = request.user
    counted = statement(("counts of instances", user.reach), lambda: _counts(user)).rows()
    counts = dict(zip(COUNTS, counted[0] if counted else [0] * len(COUNTS), strict=True))
    sees_all = can(user, "instances.view_any")
    if not counts["all"] and not sees_all:
        return Contribution()
    badges = [
        badge("workload", status, word=f"{counts[key]} {word}")
        for key, status, word in (
            ("failed", "failed", "not well"),
            ("waiting", "queued", "waiting"),
            ("busy", "starting", "in progress"),
        )
        if counts[key]
    ]
    url = reverse("challenges:instance_list") if sees_all else ""
    total = Total("Challenge instances", "flag", str(counts["running"]), f"of {counts['all']} running", url, badges)
    return Contribution([total], _concerns(user) if counts["failed"] else [])


def _counts(user: Any) -> Any:
    return totals(Instance.objects.visible_to(user).alive(), **COUNTS)


def _concerns(user: Any) -> list[Concern]:
    broken = Instance.objects.visible_to(user).broken().select_related("challenge", "team", "node")
    return [_concern(instance) for instance in broken.order_by("-observed_at")[:CONCERNS]]


def _name(instance: Instance) -> str:
    return f"{instance.challenge.name} of {instance.team.name}"


def _concern(instance: Instance) -> Concern:
    shown = workload_badge(instance)
    text = f"{shown.word}. {shown.why}" if shown.why else f"{shown.word} on {instance.node}."
    return Concern(shown.tone, shown.shape, _name(instance), text, instance.get_absolute_url(), instance.observed_at)


overview.contribute(20, _overview)
palette.register(_find)
palette.offer(
    palette.Way(
        "New event",
        "challenges:event_create",
        "plus",
        lambda user: can(user, "events.change"),
        words="create ctf",
        is_action=True,
    ),
    palette.Way(
        "New challenge",
        "challenges:challenge_create",
        "plus",
        lambda user: can(user, "challenges.change"),
        words="create task",
        is_action=True,
    ),
    palette.Way(
        "New announcement",
        "challenges:announcement_create",
        "bell",
        lambda user: can(user, "events.change"),
        words="announce tell everybody broadcast message",
        is_action=True,
    ),
    palette.Way(
        "New team",
        "challenges:team_create",
        "plus",
        lambda user: can(user, "teams.create"),
        words="create",
        is_action=True,
    ),
    palette.Way(
        "Join a team",
        "challenges:team_join",
        "users",
        lambda user: can(user, "teams.create"),
        words="code",
        is_action=True,
    ),
)
