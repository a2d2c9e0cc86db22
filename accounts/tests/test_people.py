"""Operators of regions, resets, invitations and purge."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import invites, jwt, services
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, Invite, User
from hub.exceptions import Conflict, HubError, Invalid, NotAllowed, NotFound

from .factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> User:
    return UserFactory(username="zoe", role="Operator", regions=["us-east-1"])


def player(region: str = "us-east-1", **values) -> User:
    return UserFactory(region_preference=region, **values)


# --- Operators of regions (P72) -----------------------------------------------------------------------------------
def test_operator_of_a_region_sees_and_manages_its_players(operator, api):
    here, there = player(), player("eu-west-1")

    seen = {user["username"] for user in api(operator).get("/api/v1/users").json()["results"]}
    suspended = api(operator).post(f"/api/v1/users/{here.pk}/suspend", {"reason": "x"})

    assert seen == {"zoe", here.username}
    assert suspended.status_code == 200
    assert api(operator).post(f"/api/v1/users/{there.pk}/suspend", {"reason": "x"}).status_code == 404


@pytest.mark.parametrize("role", ["Admin", "Operator", "Viewer"])
@pytest.mark.parametrize("verb", ["suspend_user", "reset_password", "verify_user"])
def test_operator_never_touches_staff(operator, role, verb):
    person = player(role=role)
    given = {"suspend_user": {"reason": "x"}, "reset_password": {"password": "a new long phrase"}, "verify_user": {}}

    def act() -> None:
        values = given[verb]
        if verb == "reset_password":
            services.reset_password(person, values["password"], actor=operator)
        else:
            getattr(services, verb)(person, actor=operator, **values)

    with pytest.raises(NotFound):
        act()


def test_operator_gives_no_role_region_or_quota(operator):
    person = player()

    for call in (
        lambda: services.set_role(person, "Viewer", actor=operator),
        lambda: services.set_regions(person, [], actor=operator),
        lambda: services.set_quota(person, servers=9, actor=operator),
        lambda: services.create_user("new", actor=operator),
        lambda: invites.create_invite(actor=operator),
        lambda: services.purge_users(services.PURGE_PHRASE, actor=operator),
    ):
        with pytest.raises(NotAllowed):
            call()


def test_operator_without_regions_manages_nobody(api):
    everywhere, person = UserFactory(role="Operator"), player()

    assert api(everywhere).get("/api/v1/users").json()["count"] == 1
    with pytest.raises(HubError):
        services.suspend_user(person, reason="x", actor=everywhere)


def test_list_of_players_costs_a_constant_number_of_queries(operator, api, django_assert_max_num_queries):
    for _ in range(12):
        player()
    client = api(operator)

    with django_assert_max_num_queries(5):
        assert client.get("/api/v1/users").json()["count"] == 13


def test_operator_opens_the_page_of_users(operator, client):
    person = player()
    client.force_login(operator)

    page = client.get("/users/")

    assert page.status_code == 200
    assert person.username in page.content.decode()


# --- resets (P59) -------------------------------------------------------------------------------------------------
def test_reset_password_ends_sessions_and_tokens(admin, owner, client):
    client.force_login(owner)
    access = jwt.log_in(owner).access

    services.reset_password(owner, "a new long phrase", actor=admin)

    assert User.objects.get(pk=owner.pk).check_password("a new long phrase")
    assert client.get("/api/v1/users/me").status_code == 401
    assert jwt.user_of(access) is None
    assert "long phrase" not in str(list(AuditEntry.objects.values()))


def test_reset_password_refuses_weak_ones_and_service_accounts(admin, owner):
    robot = UserFactory(is_service=True)

    for user, password in ((owner, "short"), (robot, "a new long phrase")):
        with pytest.raises(Invalid) as refusal:
            services.reset_password(user, password, actor=admin)
        assert refusal.value.field == "password"


def test_address_is_verified_once(admin, owner):
    services.verify_user(owner, actor=admin)

    assert EmailAddress.objects.get(user=owner).verified
    with pytest.raises(Conflict):
        services.verify_user(owner, actor=admin)


# --- invitations --------------------------------------------------------------------------------------------------
BODY = {"username": "ada", "email": "ada@example.org"}
FORM = {**BODY, "password1": PASSWORD, "password2": PASSWORD}


def test_invited_person_registers_by_page_once_with_his_role(admin, client, settings):
    settings.HUB_REGISTRATION = "invited"
    _, link = invites.create_invite(actor=admin, role="Viewer")
    path = link.removeprefix(settings.HUB_URL)

    client.post("/accounts/signup/", FORM)
    assert not User.objects.filter(username="ada").exists()
    assert client.get(path)["Location"] == "/accounts/signup/"
    client.post("/accounts/signup/", FORM)

    ada = User.objects.get(username="ada")
    assert (ada.role, ada.is_staff, Invite.objects.get().used_by) == ("Viewer", True, ada)
    assert invites.find(path.rpartition("/")[2]) is None


def test_invited_person_registers_by_api(admin, settings):
    settings.HUB_REGISTRATION = "invited"
    secret = invites.create_invite(actor=admin)[1].rpartition("/")[2]
    tries = (
        {},
        {"invite": "wrong"},
        {"invite": secret},
        {"invite": secret, "username": "bob", "email": "bob@example.org"},
    )

    body = {**BODY, "password": PASSWORD}
    statuses = [APIClient().post("/api/v1/auth/register", {**body, **more}).status_code for more in tries]

    assert statuses == [403, 403, 201, 403]


def test_invitation_is_stored_as_a_digest_and_expires(admin):
    invite, link = invites.create_invite(actor=admin)
    secret = link.rpartition("/")[2]

    assert secret not in str(list(Invite.objects.values())) + str(list(AuditEntry.objects.values()))
    Invite.objects.filter(pk=invite.pk).update(expires_at=invite.created_at)
    assert invites.find(secret) is None


def test_invitation_does_not_open_closed_registration(admin, client):
    _, link = invites.create_invite(actor=admin)
    client.get(f"/invite/{link.rpartition('/')[2]}")

    client.post("/accounts/signup/", FORM)

    assert not User.objects.filter(username="ada").exists()


# --- purge (P67) --------------------------------------------------------------------------------------------------
def test_purge_keeps_every_admin(admin, owner, stranger):
    other = UserFactory(role="Admin")
    UserFactory(role="Operator")

    counts = services.purge_users("DELETE_ALL_USERS_BUT_ADMINS", actor=admin)

    assert counts == {"deleted": 3, "kept_admins": 2, "kept_owners": 0}
    assert set(User.objects.all()) == {admin, other}
    assert AuditEntry.objects.filter(action="user.deleted", target_name="owner").exists()


def test_purge_wants_the_exact_phrase(admin, owner):
    with pytest.raises(Invalid):
        services.purge_users("delete_all_users_but_admins", actor=admin)

    assert User.objects.count() == 2


def test_service_account_has_no_password():
    with pytest.raises(Invalid):
        services.create_user("robot", actor=SYSTEM, is_service=True, password=PASSWORD)


def test_api_lists_invitations_by_state_and_takes_one_back(admin, owner):
    client = APIClient()
    client.force_login(admin)
    invite, _ = invites.create_invite(actor=admin, note="Ada")
    used, link = invites.create_invite(actor=admin, note="Grace")
    invites.use(link.rpartition("/")[2], owner)
    Invite.objects.filter(pk=used.pk).update(expires_at=timezone.now() - timedelta(days=1))

    states = {
        state: [row["note"] for row in client.get(f"/api/v1/invites?state={state}").json()["results"]]
        for state in ("open", "used", "expired")
    }

    assert states == {"open": ["Ada"], "used": ["Grace"], "expired": []}
    assert client.get(f"/api/v1/invites/{used.pk}").json()["used_by"] == "owner"
    assert [client.delete(f"/api/v1/invites/{each.pk}").status_code for each in (invite, used)] == [204, 409]
