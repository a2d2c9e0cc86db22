"""The administrator of an event gives its players new passwords, and nobody else one (P101)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEntry, User
from accounts.tests.factories import PASSWORD, UserFactory
from challenges.models import Event, Membership
from challenges.services import passwords

from .factories import EventFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db

NEW = "an entirely new phrase"


@pytest.fixture
def player() -> User:
    return UserFactory(username="bea")


@pytest.fixture
def event(player: User) -> Event:
    """A running event; its administrator plays in another team than the player."""
    event = EventFactory()
    event.administrator = participate(event).team.captain
    event.save()
    participate(event, TeamFactory(members=[player]))
    return event


def reset(event: Event, by: Any = None, username: str = "bea", password: str = NEW) -> Any:
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=(by or event.administrator).pk))
    body = {"username": username, "password": password}
    return client.post(f"/api/v1/events/{event.slug}/reset-password", body)


def has(user: User, password: str) -> bool:
    return User.objects.get(pk=user.pk).check_password(password)


def test_administrator_gives_a_player_a_new_password(event: Event, player: User) -> None:
    before = player.token_version

    assert reset(event).status_code == 204
    player.refresh_from_db()
    assert has(player, NEW)
    assert player.token_version == before + 1
    entry = AuditEntry.objects.get(action="user.password_reset", target_name="bea")
    assert (entry.actor_name, entry.data) == (event.administrator.username, {"event": event.slug})


@pytest.mark.parametrize("role", ["Viewer", "Operator", "Admin"])
def test_never_of_somebody_of_rank_who_plays_along(event: Event, player: User, role: str) -> None:
    other = UserFactory(username="chief", role=role)
    Membership.objects.create(team=player.team_memberships.get().team, user=other)

    answer = reset(event, username="chief")

    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_player")
    assert has(other, PASSWORD)


def test_never_of_those_who_play_elsewhere(event: Event) -> None:
    stranger, elsewhere = UserFactory(), participate(EventFactory()).team.captain

    assert [reset(event, username=each.username).status_code for each in (stranger, elsewhere)] == [404, 404]
    assert has(elsewhere, PASSWORD)
    assert reset(event, username="nobody").json() | {"request_id": ""} == (
        reset(event, username=stranger.username).json() | {"request_id": ""}
    )


def test_never_of_oneself(event: Event) -> None:
    assert reset(event, username=event.administrator.username).json()["code"] == "own_password"


def test_team_mates_strangers_and_administrators_of_others_reset_nothing(event: Event, player: User) -> None:
    captain = player.team_memberships.get().team.captain
    other = EventFactory()
    other.administrator = participate(other).team.captain
    other.save()

    answers = [reset(event, by=each).status_code for each in (captain, UserFactory(), other.administrator)]

    assert answers == [403, 403, 403]
    assert has(player, PASSWORD)


def test_organiser_has_the_staffs_way_and_an_admin_both(event: Event) -> None:
    organiser = UserFactory(role="Operator")
    event.organisers.add(organiser)

    assert reset(event, by=organiser).status_code == 403
    assert reset(event, by=UserFactory(role="Admin")).status_code == 204


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "paused"}, 204),
        ({"starts_at": timezone.now() + timedelta(hours=1)}, 204),
        ({"ends_at": timezone.now() - timedelta(minutes=1)}, 409),
        ({"status": "cancelled"}, 409),
    ],
)
def test_only_until_the_event_is_over(event: Event, changes: dict[str, Any], status: int) -> None:
    Event.objects.filter(pk=event.pk).update(**changes)

    assert reset(event).status_code == status


def test_who_has_withdrawn_is_out_of_reach(event: Event, player: User) -> None:
    player.team_memberships.get().team.participations.all().delete()

    assert reset(event).status_code == 404


def test_weak_password_is_refused_with_the_field(event: Event, player: User) -> None:
    answer = reset(event, password="short")

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["password"])
    assert has(player, PASSWORD)


def test_resets_are_few(event: Event, player: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "RESETS", 2)

    answers = [reset(event) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [204, 204, 429]
    monkeypatch.setattr(passwords, "RESETS_WITHIN", timedelta(0))
    assert reset(event).status_code == 204


def test_page_is_the_administrators(event: Event, player: User, client: Client) -> None:
    url = f"/events/{event.slug}/password"
    client.force_login(event.administrator)

    link = url in client.get(event.get_absolute_url()).content.decode()
    refused = client.post(url, {"username": "bea", "password": "Zq7-x"})
    done = client.post(url, {"username": "bea", "password": NEW})

    assert link
    assert (refused.status_code, done.status_code) == (422, 302)
    assert b"Zq7-x" not in refused.content
    assert has(player, NEW)
    client.force_login(User.objects.get(pk=player.pk))
    assert client.get(url).status_code == 403
    assert url not in client.get(event.get_absolute_url()).content.decode()
