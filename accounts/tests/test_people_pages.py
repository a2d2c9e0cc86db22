"""Pages about other people, and the end of one's own account."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts import lockout, services
from accounts.actors import SYSTEM
from accounts.models import ApiToken, AuditEntry, Invite, User
from accounts.services import PURGE_PHRASE

from .factories import PASSWORD, UserFactory, token_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def chief(client, admin) -> Client:
    client.force_login(admin)
    return client


def send(client: Client, user: User, form: str, **values: object):
    return client.post(reverse("accounts:user_detail", args=[user.pk]), {"form": form, **values})


def act(client: Client, user: User, verb: str):
    return client.post(reverse("accounts:user_act", args=[user.pk, verb]))


# Accounts ----------------------------------------------------------------------------------------------------------


def test_admin_makes_a_person_and_a_service_account(chief):
    chief.post(reverse("accounts:user_create"), {"username": "ada", "role": "Operator", "password": PASSWORD})
    chief.post(reverse("accounts:user_create"), {"username": "robot", "role": "Player", "is_service": "on"})

    ada, robot = User.objects.get(username="ada"), User.objects.get(username="robot")
    assert (ada.role, ada.check_password(PASSWORD), robot.is_service) == ("Operator", True, True)


def test_weak_password_is_refused_at_its_field(chief):
    answer = chief.post(reverse("accounts:user_create"), {"username": "ada", "role": "Player", "password": "12345"})

    assert answer.status_code == 422
    assert "password" in answer.context["form"].errors
    assert not User.objects.filter(username="ada").exists()


def test_role_and_regions_are_saved_and_hold_at_once(chief, owner):
    send(chief, owner, "role", role="Operator")

    theirs = Client()
    theirs.force_login(owner)
    assert theirs.get("/audit/").status_code == 200
    send(chief, owner, "role", role="Player")
    assert theirs.get("/audit/").status_code == 403
    assert AuditEntry.objects.filter(action="user.role_changed").count() == 2


def test_last_admin_cannot_take_his_own_role(chief, admin):
    answer = send(chief, admin, "role", role="Player")

    assert answer.status_code == 422
    assert "last Admin" in answer.content.decode()
    assert User.objects.get(pk=admin.pk).role == "Admin"


def test_quota_is_saved_and_emptied(chief, owner):
    send(chief, owner, "quota", servers=9, memory_mb="", cpu_percent="", disk_mb="")
    owner.refresh_from_db()
    first = owner.quota.servers
    send(chief, owner, "quota", servers="", memory_mb="", cpu_percent="", disk_mb="")
    owner.quota.refresh_from_db()

    assert (first, owner.quota.servers) == (9, None)


def test_address_and_name_are_changed_by_an_admin(chief, owner):
    send(chief, owner, "person", first_name="Ada", email="ada@example.org")

    owner.refresh_from_db()
    assert (owner.first_name, owner.email) == ("Ada", "ada@example.org")


def test_new_password_lifts_the_lock(chief, owner):
    for _ in range(5):
        Client().post("/accounts/login/", {"login": "owner", "password": "wrong"})
    was_locked = lockout.is_locked(owner)

    send(chief, owner, "password", password="another long phrase")

    fresh = Client()
    fresh.post("/accounts/login/", {"login": "owner", "password": "another long phrase"})
    assert was_locked
    assert "_auth_user_id" in fresh.session


def test_suspension_with_a_reason_and_its_end(chief, owner):
    send(chief, owner, "suspend", reason="Spam")
    owner.refresh_from_db()
    was_suspended = owner.is_suspended
    act(chief, owner, "unsuspend")
    owner.refresh_from_db()

    assert (was_suspended, owner.is_suspended) == (True, False)


def test_account_is_closed_and_opened(chief, owner):
    act(chief, owner, "deactivate")
    owner.refresh_from_db()
    was_active = owner.is_active
    act(chief, owner, "activate")
    owner.refresh_from_db()

    assert (was_active, owner.is_active) == (False, True)


def test_admin_vouches_for_an_address(chief, owner):
    act(chief, owner, "verify")

    assert owner.emailaddress_set.get().verified


def test_action_that_cannot_be_done_says_why(chief, owner):
    act(chief, owner, "unsuspend")

    assert "not suspended" in chief.get(reverse("accounts:user_detail", args=[owner.pk])).content.decode()


def test_token_of_a_service_account_is_shown_once(chief):
    robot = services.create_user("robot", actor=SYSTEM, is_service=True)

    answer = send(chief, robot, "token", name="ci", lasts="30")

    assert re.search(r"hub_[0-9a-f]+", answer.content.decode())
    assert ApiToken.objects.get().user == robot


def test_people_get_their_tokens_themselves(chief, owner):
    send(chief, owner, "token", name="ci", lasts="30")

    assert not ApiToken.objects.exists()


def test_operator_of_a_region_manages_its_players_and_nobody_else(client, owner, stranger, admin):
    User.objects.filter(pk=owner.pk).update(region_preference="us-east-1")
    client.force_login(UserFactory(role="Operator", regions=["us-east-1"]))

    page = client.get(reverse("accounts:user_detail", args=[owner.pk]))
    send(client, owner, "suspend", reason="Spam")
    send(client, owner, "role", role="Admin")

    owner.refresh_from_db()
    assert set(page.context["forms"]) == {"password", "suspend"}
    assert (owner.is_suspended, owner.role) == (True, "Player")
    for other in (stranger, admin):
        assert client.get(reverse("accounts:user_detail", args=[other.pk])).status_code == 404


@pytest.mark.parametrize("role", ["Player", "Viewer", "Operator"])
@pytest.mark.parametrize("name", ["user_create", "invite_list", "user_purge"])
def test_what_is_the_admins_is_refused_to_others(client, role, name):
    client.force_login(UserFactory(role=role))

    assert client.get(reverse(f"accounts:{name}")).status_code == 403


# Invitations -------------------------------------------------------------------------------------------------------


def invite(chief: Client, **values: object) -> str:
    answer = chief.post(reverse("accounts:invite_list"), {"note": "Ada", "role": "Viewer", "days": 7, **values})
    return re.findall(r"/invite/[\w-]+", answer.content.decode())[0]


@pytest.mark.parametrize("mode", ["invited", "open"])
def test_invitation_makes_an_account_with_its_role_once(chief, settings, mode):
    settings.HUB_REGISTRATION = mode
    link = invite(chief)
    guest = Client()
    body = {"email": "ada@example.org", "password1": PASSWORD, "password2": PASSWORD}

    guest.get(link)
    guest.post("/accounts/signup/", {**body, "username": "ada"})
    late = Client()
    late.get(link)
    late.post("/accounts/signup/", {**body, "username": "bob", "email": "bob@example.org"})

    assert User.objects.get(username="ada").role == "Viewer"
    assert User.objects.filter(username="bob", groups__name="Viewer").count() == 0


def test_link_is_in_no_list_and_no_audit_entry(chief):
    secret = invite(chief).rpartition("/")[2]

    assert secret not in chief.get(reverse("accounts:invite_list")).content.decode()
    assert secret not in str(list(AuditEntry.objects.values()))


def test_invitation_is_taken_back(chief, settings):
    settings.HUB_REGISTRATION = "invited"
    link = invite(chief)

    chief.post(reverse("accounts:invite_revoke", args=[Invite.objects.get().pk]))

    guest = Client()
    assert "Registration is closed" in guest.get(link, follow=True).content.decode()


# Purge -------------------------------------------------------------------------------------------------------------


def test_purge_wants_the_phrase_typed_and_keeps_admins(chief, admin, owner, stranger):
    url = reverse("accounts:user_purge")
    refused = chief.post(url, {"typed": "delete all"})
    before = User.objects.count()

    chief.post(url, {"typed": PURGE_PHRASE})

    assert (refused.status_code, before) == (422, 3)
    assert list(User.objects.values_list("username", flat=True)) == [admin.username]


# One's own data and end --------------------------------------------------------------------------------------------


def test_own_data_is_a_file_without_secrets(client, owner):
    _, plain = token_for(owner, name="backup")
    client.force_login(owner)

    answer = client.post(reverse("accounts:data_export"))

    data = json.loads(answer.content)
    assert data["profile"]["username"] == "owner"
    assert data["tokens"][0]["name"] == "backup"
    assert plain not in answer.content.decode()
    assert answer["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"typed": "somebody", "password": PASSWORD}, "typed"),
        ({"typed": "owner", "password": "wrong"}, "password"),
        ({"typed": "owner"}, "password"),
    ],
)
def test_account_is_not_deleted_by_a_slip(client, owner, body, field):
    client.force_login(owner)

    answer = client.post(reverse("accounts:account_delete"), body)

    assert field in answer.context["form"].errors
    assert User.objects.filter(pk=owner.pk).exists()


def test_account_is_deleted_with_name_and_password(client, owner):
    client.force_login(owner)

    answer = client.post(reverse("accounts:account_delete"), {"typed": "owner", "password": PASSWORD})

    assert answer.status_code == 302
    assert not User.objects.filter(username="owner").exists()
    assert "_auth_user_id" not in client.session
    assert AuditEntry.objects.filter(action="user.deleted", target_name="owner").exists()


def test_admin_deletes_his_account_not_himself(chief, admin):
    answer = chief.post(reverse("accounts:account_delete"), {"typed": admin.username, "password": PASSWORD})

    assert "Admin" in answer.content.decode()
    assert User.objects.filter(pk=admin.pk).exists()


# Addresses ---------------------------------------------------------------------------------------------------------


def test_new_address_is_used_after_its_link_was_opened(client, owner, mailoutbox):
    client.force_login(owner)
    client.post("/accounts/email/", {"action_add": "", "email": "new@example.org"})
    link = re.findall(r"/accounts/confirm-email/[^/\s]+/", mailoutbox[0].body)[0]
    owner.refresh_from_db()
    before = owner.email

    client.post(link)
    client.post("/accounts/email/", {"action_primary": "", "email": "new@example.org"})

    owner.refresh_from_db()
    assert (before, owner.email) == ("owner@example.org", "new@example.org")
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {
        "user.address_added",
        "user.address_confirmed",
        "user.address_changed",
    }


def test_forgotten_password_is_replaced_by_the_link_once_and_says_nothing_about_strangers(client, owner, mailoutbox):
    known = client.post("/accounts/password/reset/", {"email": "owner@example.org"})
    unknown = client.post("/accounts/password/reset/", {"email": "nobody@example.org"})
    link = re.findall(r"/accounts/password/reset/key/\S+", mailoutbox[0].body)[0]
    page = client.get(link, follow=True)
    body = {"password1": "another long phrase", "password2": "another long phrase"}
    client.post(page.redirect_chain[-1][0], body)

    owner.refresh_from_db()
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert owner.check_password("another long phrase")
    assert "does not work" in Client().get(link, follow=True).content.decode()
