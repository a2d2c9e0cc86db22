from __future__ import annotations

from unittest import mock

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import Client
from django.urls import reverse

from accounts import services
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, User

from .factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

LOGIN, LOGOUT = "/accounts/login/", "/accounts/logout/"
CHANGE = "/accounts/password/change/"


def log_in(client: Client, login: str, password: str = PASSWORD):
    return client.post(LOGIN, {"login": login, "password": password})


def is_logged_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.mark.parametrize("login", ["owner", "OWNER", "owner@example.org", "Owner@Example.ORG"])
def test_login_by_name_or_address_in_any_case(client, owner, login):
    answer = log_in(client, login)

    assert (answer.status_code, answer["Location"]) == (302, reverse("overview"))
    assert is_logged_in(client)


def test_login_is_audited_with_the_address(client, owner):
    client.post(LOGIN, {"login": "owner", "password": PASSWORD}, REMOTE_ADDR="192.0.2.4")

    entry = AuditEntry.objects.get(action="user.logged_in")
    assert (entry.actor_name, entry.ip, entry.via) == ("owner", "192.0.2.4", "web")


def test_failed_login_names_the_account_but_not_what_was_typed(client, owner):
    log_in(client, "owner", "wrong password")
    log_in(client, "my-secret-typed-into-the-wrong-field", "x")

    known, unknown = AuditEntry.objects.filter(action="user.login_failed").order_by("id")
    assert (known.target_name, known.actor_kind) == ("owner", "anonymous")
    assert unknown.target_name == ""
    assert "my-secret" not in str(list(AuditEntry.objects.values()))


def test_same_answer_and_one_hash_whether_the_account_exists_or_not(client, owner):
    contents = []
    for login in ("owner", "nobody-here"):
        with (
            mock.patch.object(Argon2PasswordHasher, "encode", autospec=True, return_value="argon2$x") as encode,
            mock.patch.object(Argon2PasswordHasher, "verify", autospec=True, return_value=False) as verify,
        ):
            answer = log_in(client, login, "wrong password")
        assert encode.call_count + verify.call_count == 1, login
        contents.append("not correct" in answer.content.decode())

    assert contents == [True, True]


def test_five_failures_stop_the_account_even_with_the_right_password(client, owner):
    for _ in range(5):
        log_in(client, "owner", "wrong password")

    answer = log_in(client, "owner")

    assert answer.status_code == 200
    assert not is_logged_in(client)
    assert "Too many failed login attempts" in answer.content.decode()


def test_login_leads_on_to_where_one_wanted_and_never_to_another_site(client, owner):
    inside = client.post(f"{LOGIN}?next=/servers", {"login": "owner", "password": PASSWORD, "next": "/servers"})
    client.post(LOGOUT)
    outside = client.post(LOGIN, {"login": "owner", "password": PASSWORD, "next": "https://evil.example/"})

    assert inside["Location"] == "/servers"
    assert outside["Location"] == reverse("overview")


def test_login_changes_the_session_key(client, owner):
    client.get(LOGIN)
    client.session["seen"] = True
    client.session.save()
    before = client.session.session_key

    log_in(client, "owner")

    assert client.session.session_key != before


def test_login_needs_the_csrf_token(owner):
    client = Client(enforce_csrf_checks=True)

    assert log_in(client, "owner").status_code == 403


def test_logout_asks_first_and_is_audited(client, owner):
    client.force_login(owner)

    assert client.get(LOGOUT).status_code == 200
    assert is_logged_in(client)

    client.post(LOGOUT)

    assert not is_logged_in(client)
    assert AuditEntry.objects.filter(action="user.logged_out", actor_name="owner").exists()


def test_closed_account_cannot_log_in_and_its_sessions_end(client, owner):
    client.force_login(owner)
    services.deactivate_user(owner, actor=SYSTEM)

    assert client.get("/api/v1/users/me").status_code == 401
    log_in(fresh := Client(), "owner")
    assert not is_logged_in(fresh)


def test_suspended_person_sees_why_and_may_log_out(client, owner):
    services.suspend_user(owner, reason="Spam in chat", actor=SYSTEM)
    log_in(client, "owner")

    page = client.get(CHANGE)

    assert page.status_code == 403
    assert "Spam in chat" in page.content.decode()
    assert client.post(LOGOUT).status_code == 302
    assert not is_logged_in(client)


def test_suspension_reason_is_escaped(client, owner):
    services.suspend_user(owner, reason="<script>alert(1)</script>", actor=SYSTEM)
    client.force_login(owner)

    assert "<script>alert(1)" not in client.get(CHANGE).content.decode()


def test_password_change_ends_the_other_sessions_and_voids_tokens(client, owner):
    other = Client()
    log_in(other, "owner")
    log_in(client, "owner")

    client.post(CHANGE, {"oldpassword": PASSWORD, "password1": "a new long phrase", "password2": "a new long phrase"})

    assert client.get("/api/v1/users/me").status_code == 200
    assert other.get("/api/v1/users/me").status_code == 401
    assert User.objects.get(pk=owner.pk).token_version == 2
    assert AuditEntry.objects.filter(action="user.password_changed", actor_name="owner").exists()


def test_weak_new_password_is_refused_with_the_reason(client, owner):
    client.force_login(owner)

    page = client.post(CHANGE, {"oldpassword": PASSWORD, "password1": "owner", "password2": "owner"})

    assert "too similar" in page.content.decode()


def test_registration_is_closed_by_default(client):
    page = client.post("/accounts/signup/", {"username": "ada"})

    assert not User.objects.exists()
    assert page.status_code == 200


def test_open_registration_makes_players(client, settings):
    settings.HUB_REGISTRATION = "open"
    body = {"username": "ada", "email": "ada@example.org", "password1": PASSWORD, "password2": PASSWORD}

    client.post("/accounts/signup/", {**body, "role": "Admin", "is_staff": "on"})

    user = User.objects.get(username="ada")
    assert (user.role, user.is_staff) == ("Player", False)
    assert AuditEntry.objects.filter(action="user.registered", target_name="ada").exists()


@pytest.mark.parametrize("body", [{"username": "OWNER"}, {"email": "OWNER@example.org"}, {"username": "admin"}])
def test_registration_takes_nobodys_name_or_address(client, owner, settings, body):
    settings.HUB_REGISTRATION = "open"
    whole = {"username": "ada", "email": "ada@example.org", "password1": PASSWORD, "password2": PASSWORD, **body}

    answer = client.post("/accounts/signup/", whole)

    assert answer.status_code < 500
    assert User.objects.count() == 1


def test_page_of_a_logged_in_person_costs_two_queries_before_its_own(client, django_assert_num_queries):
    client.force_login(UserFactory(role="Operator", regions=["us-east-1"]))

    with django_assert_num_queries(3):  # session, person with role and regions, and `me` shows the own quota
        client.get("/api/v1/users/me")
