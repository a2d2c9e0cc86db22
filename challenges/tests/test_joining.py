"""An account and a team in one step, at the page and the API (P76)."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from rest_framework.test import APIClient

from accounts import invites
from accounts.models import AuditEntry, User
from accounts.tests.factories import PASSWORD, UserFactory
from challenges.models import Membership, Team
from challenges.services import joining
from hub.nodes.tests.factories import RegionFactory

from .factories import TeamFactory

pytestmark = pytest.mark.django_db

ADA = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
PAGE = {"username": "ada", "email": "ada@example.org", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def is_open(settings: Any) -> None:
    settings.HUB_REGISTRATION = "open"
    cache.clear()  # wrong codes of other tests


def register(**wishes: Any) -> Any:
    return APIClient().post("/api/v1/auth/register", {**ADA, **wishes})


def team_of_ada() -> Team | None:
    found = Membership.objects.filter(user__username="ada").select_related("team__region").first()
    return found.team if found else None


def test_registers_into_the_team_of_the_code() -> None:
    team = TeamFactory(join_code="ABC234")

    answer = register(team_code=" abc234 ")

    assert (answer.status_code, team_of_ada()) == (201, team)
    assert AuditEntry.objects.filter(action="team.joined", actor_name="ada").exists()


def test_registers_with_a_new_team_in_ones_region() -> None:
    region = RegionFactory(slug="zone1", name="Zone one")

    answer = register(team_name="Owls", region="zone1")

    team = team_of_ada()
    assert answer.status_code == 201
    assert team is not None
    assert (team.name, team.captain.username, team.region) == ("Owls", "ada", region)


def test_code_goes_before_a_name() -> None:
    team = TeamFactory(join_code="ABC234")

    register(team_code="ABC234", team_name="Owls")

    assert team_of_ada() == team
    assert not Team.objects.filter(name="Owls").exists()


def test_region_alone_is_where_one_plays() -> None:
    RegionFactory(slug="zone1", name="Zone one")

    register(region="zone1")

    assert User.objects.get(username="ada").region_preference == "zone1"
    assert team_of_ada() is None


@pytest.mark.parametrize("name", ["zone1", "ZONE ONE"])
def test_region_in_the_place_of_a_code_is_explained(name: str) -> None:
    RegionFactory(slug="zone1", name="Zone one")

    answer = register(team_code=name)

    assert answer.status_code == 400
    assert "is a region" in answer.json()["fields"]["team_code"][0]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"is_locked": True}, 409),
        ({"max_members": 1}, 409),
        ({"banned_at": "2026-01-01T00:00Z", "ban_reason": "x"}, 403),
        ({"join_code": "XYZ789"}, 400),
    ],
)
def test_no_account_is_made_when_the_team_takes_nobody(values: dict[str, Any], status: int) -> None:
    TeamFactory(**{"join_code": "ABC234", **values})

    answer = register(team_code="ABC234")

    assert (answer.status_code, list(answer.json()["fields"])) == (status, ["team_code"])
    assert not User.objects.filter(username="ada").exists()
    assert mail.outbox == []


@pytest.mark.parametrize(
    ("wish", "field"),
    [({"team_name": "OWLS"}, "team_name"), ({"team_name": "ab"}, "team_name"), ({"region": "nowhere"}, "region")],
)
def test_bad_wish_names_its_field(wish: dict[str, str], field: str) -> None:
    TeamFactory(name="Owls")

    answer = register(**wish)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_what_fails_at_last_leaves_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    TeamFactory(join_code="ABC234", is_locked=True)
    monkeypatch.setattr(joining, "_check_code", lambda code: None)  # locked between the check and the step

    answer = register(team_code="ABC234")

    assert answer.status_code == 409
    assert not User.objects.filter(username="ada").exists()
    assert mail.outbox == []


def test_wrong_codes_of_an_address_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "WRONG_CODES_OF_ADDRESS", 2)
    TeamFactory(join_code="ABC234")

    answers = [register(team_code=code).status_code for code in ("AAAAAA", "BBBBBB", "ABC234")]

    assert answers == [400, 400, 429]
    assert AuditEntry.objects.filter(action="team.code_wrong", actor_kind="anonymous").count() == 2


def test_right_code_is_not_counted_among_the_wrong_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "WRONG_CODES_OF_ADDRESS", 2)
    TeamFactory(join_code="ABC234")

    right = register(username="bob", email="bob@example.org", team_code="ABC234")
    answers = [right.status_code]
    answers += [register(team_code=code).status_code for code in ("AAAAAA", "BBBBBB", "CCCCCC")]

    assert answers == [201, 400, 400, 429]


def test_wrong_codes_of_an_address_that_come_at_once_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "WRONG_CODES_OF_ADDRESS", 2)
    looks: list[str] = []

    def look(code: str) -> None:
        looks.append(code)
        if len(looks) < 5:
            register(team_code="BBBBBB")  # comes while the one before is looked at

    monkeypatch.setattr(joining, "find_by_code", look)
    register(team_code="AAAAAA")

    assert looks == ["AAAAAA", "BBBBBB"]


def test_wrong_code_does_not_tell_whether_an_address_is_taken() -> None:
    UserFactory(email="ada@example.org")

    taken, free = register(team_code="AAAAAA"), register(email="bob@example.org", team_code="AAAAAA")

    assert (taken.status_code, taken.json()["fields"]) == (free.status_code, free.json()["fields"])


def test_taken_address_joins_nobody() -> None:
    team = TeamFactory(join_code="ABC234")
    UserFactory(email="ada@example.org")

    assert register(team_code="ABC234").status_code == 201
    assert team.memberships.count() == 1


def test_team_opens_no_closed_door(settings: Any) -> None:
    settings.HUB_REGISTRATION = "closed"
    TeamFactory(join_code="ABC234")

    assert register(team_code="ABC234").status_code == 403
    Client().post("/accounts/signup/", {**PAGE, "team_code": "ABC234"})
    assert not User.objects.filter(username="ada").exists()


def test_invited_person_comes_with_a_team_but_not_as_one_who_only_looks(settings: Any) -> None:
    settings.HUB_REGISTRATION = "invited"
    admin = UserFactory(role="Admin")
    links = [invites.create_invite(actor=admin, role=role)[1] for role in ("Viewer", "Player")]
    viewer, player = (link.rpartition("/")[2] for link in links)

    assert register(team_name="Owls", invite=viewer).status_code == 403
    assert not User.objects.filter(username="ada").exists()
    assert register(team_name="Owls", invite=player).status_code == 201
    assert team_of_ada() is not None


def test_unverified_person_waits_in_his_team(settings: Any) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    register(team_name="Owls")

    answer = APIClient().post("/api/v1/auth/login", {"username": "ada", "password": PASSWORD})

    assert team_of_ada() is not None
    assert answer.json()["code"] == "unverified"


def test_page_registers_with_a_team_and_keeps_what_was_typed(client: Client) -> None:
    RegionFactory(slug="zone1", name="Zone one")
    TeamFactory(name="Owls")

    refused = client.post("/accounts/signup/", {**PAGE, "team_name": "Owls"}).content.decode()
    client.post("/accounts/signup/", {**PAGE, "team_name": "Foxes", "region": "zone1"})

    assert "Another team has this name." in refused
    assert "<details open>" in refused
    team = team_of_ada()
    assert team is not None
    assert (team.name, team.region_slug) == ("Foxes", "zone1")
    assert "ada" in client.get("/").content.decode()  # logged in
