from __future__ import annotations

from unittest import mock

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from .factories import PASSWORD, UserFactory, token_for, token_header

pytestmark = pytest.mark.django_db

SECRET = "JBSWY3DPEHPK3PXP"


def code_of(counter: int) -> str:
    return totp.format_hotp_value(totp.hotp_value(SECRET, counter))


def at(counter: int):
    """A moment of an authenticator app."""
    return mock.patch.object(totp, "yield_hotp_counters_from_time", side_effect=lambda: iter([counter]))


def log_in(client: Client, login: str = "owner") -> None:
    client.post("/accounts/login/", {"login": login, "password": PASSWORD})


def confirm_password(client: Client) -> None:
    """Factors are set up by who has just given his password again."""
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})


@pytest.fixture
def duty(settings) -> None:
    settings.HUB_MFA_ROLES = ["Admin"]


def test_pages_of_factors_and_sessions_are_reached_from_the_profile(client, owner):
    log_in(client)

    profile = client.get("/profile").content.decode()
    for name in ("mfa_index", "accounts:session_list"):
        assert f'href="{reverse(name)}"' in profile
        assert client.get(reverse(name)).status_code == 200
    confirm_password(client)
    for name in ("mfa_activate_totp", "mfa_add_webauthn"):
        assert client.get(reverse(name)).status_code == 200


def test_login_asks_for_the_code_and_takes_it_once(client, owner):
    totp.TOTP.activate(owner, SECRET)
    other = Client()
    with at(7):
        for browser in (client, other):
            log_in(browser)
            assert "_auth_user_id" not in browser.session
            browser.post(reverse("mfa_authenticate"), {"code": code_of(7)})

    assert "_auth_user_id" in client.session
    assert "_auth_user_id" not in other.session


@pytest.mark.usefixtures("duty")
def test_who_must_have_a_factor_is_led_to_set_one_up(client, admin):
    log_in(client, admin.username)

    assert client.get("/profile")["Location"] == reverse("mfa_index")
    confirm_password(client)
    assert client.get(reverse("mfa_activate_totp")).status_code == 200
    assert client.get("/api/v1/users/me").status_code == 401
    assert client.post("/accounts/logout/").status_code == 302


@pytest.mark.usefixtures("duty")
def test_api_login_waits_for_the_factor(admin):
    answer = APIClient().post("/api/v1/auth/login", {"username": admin.username, "password": PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (403, "factor_required")


@pytest.mark.usefixtures("duty")
def test_who_has_a_factor_is_let_through(client, admin):
    client.force_login(admin)
    totp.TOTP.activate(admin, SECRET)

    assert client.get("/profile").status_code == 200
    Authenticator.objects.update(type="recovery_codes")
    assert client.get("/profile").status_code == 302


@pytest.mark.usefixtures("duty")
def test_other_roles_and_api_tokens_are_not_asked(client, owner, admin):
    client.force_login(owner)
    _, plain = token_for(admin)

    assert client.get("/profile").status_code == 200
    assert APIClient().get("/api/v1/users/me", headers=token_header(plain)).status_code == 200


def test_duty_costs_others_no_query(client, settings, django_assert_num_queries):
    settings.HUB_MFA_ROLES = ["Admin"]
    client.force_login(UserFactory(role="Viewer"))

    with django_assert_num_queries(3):  # session, person, and `me` shows the own quota
        client.get("/api/v1/users/me")


def test_other_sessions_are_ended_from_the_list(client, owner):
    other = Client()
    for browser in (client, other):
        log_in(browser)
        browser.get("/profile")

    client.post(reverse("usersessions_list"))

    assert client.get("/profile").status_code == 200
    assert other.get("/profile").status_code == 302
