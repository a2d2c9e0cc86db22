"""What the rows of challenges refuse by themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from accounts.tests.factories import UserFactory
from challenges.choices import EventStatus
from challenges.models import Event, Flag, Membership, Team

from .factories import ChallengeFactory, ContainerFactory, EventFactory, FlagFactory, TeamFactory

pytestmark = pytest.mark.django_db
NOW = timezone.now()
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("status", "starts", "ends", "state"),
    [
        ("draft", -HOUR, HOUR, "draft"),
        ("scheduled", HOUR, 2 * HOUR, "scheduled"),
        ("approved", HOUR, 2 * HOUR, "scheduled"),
        ("scheduled", timedelta(), HOUR, "running"),
        ("approved", -HOUR, HOUR, "running"),
        ("scheduled", -2 * HOUR, -HOUR, "completed"),
        ("running", -2 * HOUR, timedelta(), "completed"),
        ("paused", -HOUR, HOUR, "paused"),
        ("paused", -2 * HOUR, -HOUR, "completed"),
        ("cancelled", -2 * HOUR, -HOUR, "cancelled"),
        ("pending_approval", -2 * HOUR, -HOUR, "pending_approval"),
    ],
)
def test_state_follows_the_clock_alike_on_a_row_and_in_a_query(
    status: str, starts: timedelta, ends: timedelta, state: str
) -> None:
    event = EventFactory(status=status, starts_at=NOW + starts, ends_at=NOW + ends)

    assert event.state_at(NOW) == state
    found = [each for each in EventStatus.values if Event.objects.in_state(each, NOW).exists()]
    assert found == (["approved", "scheduled"] if state == "scheduled" else [state])


def test_list_of_a_state_that_is_kept_follows_the_clock() -> None:
    running = Event.objects.in_state(EventStatus.RUNNING)
    event = EventFactory(starts_at=timezone.now())

    assert list(running) == [event]


def test_nobody_is_in_two_teams() -> None:
    user = UserFactory()
    TeamFactory(members=[user])

    with pytest.raises(IntegrityError):
        Membership.objects.create(team=TeamFactory(), user=user)


def test_personal_team_stands_beside_the_one_with_others() -> None:
    user = TeamFactory().captain

    TeamFactory(captain=user, is_personal=True, join_code=None)

    assert Team.objects.of(user).count() == 2


@pytest.mark.parametrize(
    ("kind", "content", "field"),
    [
        ("team", "flag{}", "content"),
        ("regex", "flag{(", "content"),
        ("static", "x" * 501, "content"),
        ("static", " ", "content"),
    ],
)
def test_answers_that_cannot_be_are_refused_without_repeating_them(kind: str, content: str, field: str) -> None:
    flag = FlagFactory.build(challenge=ChallengeFactory(), kind=kind, content=content)

    with pytest.raises(ValidationError) as refused:
        flag.full_clean()

    assert field in refused.value.message_dict
    assert content.strip() == "" or content not in str(refused.value)


def test_flag_is_planted_in_a_container_of_its_own_challenge() -> None:
    flag: Flag = FlagFactory.build(challenge=ChallengeFactory(), container=ContainerFactory(), plant_env="FLAG")

    with pytest.raises(ValidationError, match="another challenge's"):
        flag.full_clean()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"env": {"lower": "x"}}, "env"),
        ({"command": "run"}, "command"),
        ({"writable_paths": ["tmp"]}, "writable_paths"),
        ({"writable_paths": ["/a/../etc"]}, "writable_paths"),
        ({"capabilities": ["net_admin"]}, "capabilities"),
        ({"name": "localhost"}, "name"),
        ({"image": "a b"}, "image"),
    ],
)
def test_containers_that_cannot_run_are_refused(values: dict[str, object], field: str) -> None:
    container = ContainerFactory(port=0)
    for name, value in values.items():
        setattr(container, name, value)

    with pytest.raises(ValidationError) as refused:
        container.full_clean()

    assert field in refused.value.message_dict


def test_event_ends_after_its_start_and_freezes_between() -> None:
    event = EventFactory()
    event.freeze_at = event.ends_at + HOUR
    with pytest.raises(ValidationError, match="between start and end"):
        event.full_clean()

    event.ends_at = event.starts_at
    with pytest.raises(ValidationError, match="after the start"):
        event.full_clean()
