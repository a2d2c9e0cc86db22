from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from unittest import mock

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core import mail
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import jwt, lockout, services
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, TokenFamily, User

from .factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

AUTH = "/api/v1/auth"
ME = f"{AUTH}/me"


def log_in(username: str = "owner", password: str = PASSWORD, **more):
    extra = {"REMOTE_ADDR": more.pop("ip")} if "ip" in more else {}
    return APIClient().post(f"{AUTH}/login", {"username": username, "password": password, **more}, **extra)


def refresh(token: str, **extra):
    return APIClient().post(f"{AUTH}/refresh", {"refresh": token}, **extra)


def get_me(access: str):
    return APIClient().get(ME, headers={"Authorization": f"Bearer {access}"})


# --- login --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("login", ["owner", "OWNER", "Owner@Example.org"])
def test_login_answers_tokens_that_speak_for_the_user(owner, login):
    answer = log_in(login)

    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 900)
    assert get_me(answer.json()["access"]).json()["username"] == "owner"


def test_login_is_audited_and_noted(owner):
    log_in(ip="192.0.2.4")

    entry = AuditEntry.objects.get(action="user.logged_in")
    assert (entry.actor_name, entry.ip, entry.via) == ("owner", "192.0.2.4", "api")
    assert User.objects.get().last_login is not None


def test_wrong_login_is_the_same_for_known_and_unknown_names_and_costs_one_hash(owner):
    answers = []
    for login in ("owner", "nobody-here", "owner@example.org", "nobody@example.org"):
        with (
            mock.patch.object(Argon2PasswordHasher, "encode", autospec=True, return_value="argon2$x") as encode,
            mock.patch.object(Argon2PasswordHasher, "verify", autospec=True, return_value=False) as verify,
        ):
            answer = log_in(login, "wrong password")
        assert encode.call_count + verify.call_count == 1, login
        answers.append((answer.status_code, {**answer.json(), "request_id": ""}))

    assert answers[0][0] == 401
    assert all(answer == answers[0] for answer in answers)


def test_five_failures_of_pages_and_api_together_lock_both(client, owner, monkeypatch):
    monkeypatch.setattr(lockout, "time", SimpleNamespace(time=lambda: 1_000_000.0))
    for _ in range(3):
        client.post("/accounts/login/", {"login": "owner", "password": "wrong"})
    for _ in range(2):
        log_in("Owner@example.org", "wrong")

    answer = log_in()
    page = client.post("/accounts/login/", {"login": "owner", "password": PASSWORD})

    assert answer.json()["detail"] in page.content.decode()
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "locked_out", "900")
    assert "_auth_user_id" not in client.session
    assert AuditEntry.objects.filter(action="login.locked", target_name="owner").count() == 1


def test_unknown_name_is_locked_the_same_way():
    statuses = [log_in("nobody-here", "x", ip=f"192.0.2.{number}").status_code for number in range(7)]

    assert statuses == [401] * 5 + [429] * 2


def test_one_address_guessing_many_names_is_stopped():
    statuses = [log_in(f"name{number}", "x").status_code for number in range(11)]

    assert statuses == [401] * 10 + [429]


def test_right_passwords_are_not_counted(owner):
    assert [log_in().status_code for _ in range(7)] == [200] * 7


def test_unlocked_account_may_try_again(owner, admin):
    for number in range(6):
        log_in(password="wrong", ip=f"192.0.2.{number}")
    assert lockout.is_locked(owner)

    lockout.unlock(owner, actor=admin)

    assert log_in().status_code == 200
    assert AuditEntry.objects.filter(action="login.unlocked", actor_name=admin.username).exists()


def test_closed_account_is_told_nothing_and_a_suspended_one_why(owner, stranger):
    services.deactivate_user(owner, actor=SYSTEM)
    services.suspend_user(stranger, reason="Spam", actor=SYSTEM)

    assert log_in().json()["code"] == "wrong_credentials"
    assert "Spam" in log_in("stranger").json()["detail"]
    assert log_in("stranger", "wrong").json()["code"] == "wrong_credentials"


def test_who_has_a_second_factor_must_send_its_code_once(owner):
    secret = totp.generate_totp_secret()
    totp.TOTP.activate(owner, secret)
    code = totp.format_hotp_value(totp.hotp_value(secret, 7))

    with mock.patch.object(totp, "yield_hotp_counters_from_time", side_effect=lambda: iter([7])):
        codes = [log_in().json()["code"], log_in(code="not it").json()["code"]]
        statuses = [log_in(code=code).status_code for _ in range(2)]

    assert codes == ["code_required", "wrong_code"]
    assert statuses == [200, 401]


def test_codes_are_not_guessed(owner):
    totp.TOTP.activate(owner, totp.generate_totp_secret())

    statuses = [log_in(code="abcdef").status_code for _ in range(6)]

    assert statuses == [401] * 5 + [429]


# --- refresh ------------------------------------------------------------------------------------------------------
def test_refresh_rotates(owner):
    first = log_in().json()

    second = refresh(first["refresh"]).json()

    assert second["refresh"] != first["refresh"]
    assert get_me(second["access"]).status_code == 200
    assert refresh(second["refresh"]).status_code == 200


def test_used_refresh_token_revokes_the_family_and_no_other(owner):
    stolen, elsewhere = log_in().json(), log_in().json()
    newest = refresh(stolen["refresh"]).json()

    assert refresh(stolen["refresh"]).status_code == 401

    assert refresh(newest["refresh"]).status_code == 401
    assert get_me(newest["access"]).status_code == 401
    assert get_me(elsewhere["access"]).status_code == 200
    assert AuditEntry.objects.get(action="login.revoked").data["reason"] == "reused"


def test_refresh_works_beside_an_expired_access_token(owner):
    pair = log_in().json()

    answer = refresh(pair["refresh"], headers={"Authorization": "Bearer expired.or.broken"})

    assert answer.status_code == 200


def test_tokens_end_in_time(owner, settings):
    pair = log_in().json()
    with mock.patch.object(jwt.timezone, "now", return_value=timezone.now() - timedelta(minutes=16)):
        old_access = jwt.log_in(owner).access
    with mock.patch.object(jwt.timezone, "now", return_value=timezone.now() - timedelta(days=7, minutes=1)):
        old_refresh = jwt.log_in(owner).refresh

    assert get_me(old_access).status_code == 401
    assert refresh(old_refresh).status_code == 401
    assert get_me(pair["access"]).status_code == 200


def test_lives_are_settings(owner, settings):
    settings.HUB_JWT_ACCESS_MINUTES = 2
    settings.HUB_JWT_REFRESH_DAYS = 1

    assert log_in().json()["expires_in"] == 120
    assert TokenFamily.objects.get().expires_at < timezone.now() + timedelta(days=1, seconds=1)


def test_one_kind_of_token_is_not_taken_for_the_other(owner):
    pair = log_in().json()

    assert get_me(pair["refresh"]).status_code == 401
    assert refresh(pair["access"]).status_code == 401


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "\u00fc.b.c", "x" * 3000])
def test_rubbish_is_refused(text):
    assert refresh(text).status_code in (400, 401)


def test_unsigned_and_foreign_tokens_are_refused(owner, settings):
    genuine = log_in().json()["access"]
    ring = settings.HUB_KEY_RING
    settings.HUB_KEY_RING = {"1": b"f" * 32}
    foreign = jwt.log_in(owner).access
    settings.HUB_KEY_RING = ring
    unsigned = "eyJhbGciOiJub25lIn0." + genuine.split(".")[1] + "."

    assert [get_me(text).status_code for text in (genuine, foreign, unsigned)] == [200, 401, 401]


def test_keys_rotate_with_overlap(owner, settings):
    ring = settings.HUB_KEY_RING
    old = log_in().json()
    settings.HUB_KEY_RING = {"next": b"n" * 32, **ring}
    new = log_in().json()

    assert get_me(old["access"]).status_code == 200
    settings.HUB_KEY_RING = {"next": b"n" * 32}
    assert get_me(old["access"]).status_code == 401
    assert get_me(new["access"]).status_code == 200


@pytest.mark.parametrize("end", ["suspend", "deactivate", "password", "role"])
def test_tokens_end_with_the_account_and_its_password_at_once(owner, end):
    pair = log_in().json()
    match end:
        case "suspend":
            services.suspend_user(owner, reason="x", actor=SYSTEM)
        case "deactivate":
            services.deactivate_user(owner, actor=SYSTEM)
        case "password":
            services.note_password_change(owner)
        case "role":
            services.set_role(owner, "Viewer", actor=SYSTEM)

    is_over = end != "role"
    assert get_me(pair["access"]).status_code == (401 if is_over else 200)
    assert refresh(pair["refresh"]).status_code == (401 if is_over else 200)


def test_logout_ends_this_login_and_is_idempotent(owner):
    pair, other = log_in().json(), log_in().json()

    answers = [APIClient().post(f"{AUTH}/logout", {"refresh": pair["refresh"]}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]
    assert get_me(pair["access"]).status_code == 401
    assert refresh(pair["refresh"]).status_code == 401
    assert get_me(other["access"]).status_code == 200
    assert AuditEntry.objects.filter(action="user.logged_out").count() == 1


def test_access_token_costs_one_query(owner, django_assert_num_queries):
    access = log_in().json()["access"]

    with django_assert_num_queries(2):  # the user with all that permissions need; and `me` shows the own quota
        assert get_me(access).status_code == 200


def test_old_logins_are_forgotten(owner):
    log_in()
    TokenFamily.objects.update(expires_at=timezone.now())
    log_in()

    assert jwt.forget_ended() == 1


def test_signed_token_is_in_no_row(owner):
    pair = log_in().json()

    stored = str(list(TokenFamily.objects.values())) + str(list(AuditEntry.objects.values()))
    assert pair["refresh"] not in stored
    assert pair["refresh"].split(".")[2] not in stored


# --- register -----------------------------------------------------------------------------------------------------
ADA = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}


def register(**changes):
    return APIClient().post(f"{AUTH}/register", {**ADA, **changes})


def test_registration_is_closed_by_default():
    assert (register().status_code, User.objects.count()) == (403, 0)


def test_registered_person_is_a_player_who_may_log_in(settings):
    settings.HUB_REGISTRATION = "open"

    answer = register(role="Admin", is_staff=True)

    assert answer.status_code == 201
    user = User.objects.get(username="ada")
    assert (user.role, user.is_staff) == ("Player", False)
    assert "ada@example.org" in mail.outbox[0].to
    assert log_in("ada").status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"password": "short"}, "password"),
        ({"username": "owner"}, "username"),
        ({"username": "admin"}, "username"),
        ({"username": "a b<c"}, "username"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_bad_registration_is_refused_with_the_field(settings, owner, changes, field):
    settings.HUB_REGISTRATION = "open"

    answer = register(**changes)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])
    assert User.objects.count() == 1


def test_taken_address_is_not_told(settings):
    settings.HUB_REGISTRATION = "open"
    UserFactory(username="first", email="ada@example.org")

    taken, free = register(), register(username="bob", email="bob@example.org")

    assert (taken.status_code, taken.json()["detail"]) == (free.status_code, free.json()["detail"])
    assert not User.objects.filter(username="ada").exists()


def test_unverified_person_waits_where_verification_is_mandatory(settings, owner, admin):
    settings.HUB_REGISTRATION = "open"
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    register()

    assert log_in("ada").json()["code"] == "unverified"
    EmailAddress.objects.filter(email="ada@example.org").update(verified=True)
    assert log_in("ada").status_code == 200
