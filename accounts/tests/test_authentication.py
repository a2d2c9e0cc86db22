from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import services
from accounts.actors import SYSTEM
from accounts.models import ApiToken, AuditEntry

from .factories import PASSWORD, UserFactory, token_for, token_header

pytestmark = pytest.mark.django_db

ME = "/api/v1/users/me"


def get_me(plain: str, **kwargs):
    return APIClient().get(ME, headers=token_header(plain), **kwargs)


def test_token_speaks_for_its_owner(owner):
    _, plain = token_for(owner)

    answer = get_me(plain)

    assert (answer.status_code, answer.json()["username"]) == (200, "owner")


@pytest.mark.parametrize(
    "header", ["Token", "Token hub_", "Token a b", "Token hub_" + "0" * 64, "Token h\u00fcb", "Bearer x", "Basic x"]
)
def test_wrong_credentials_are_401_with_a_challenge(header):
    answer = APIClient().get(ME, headers={"Authorization": header.encode().decode("latin-1")})

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Token"


def test_stopped_token_is_refused(owner):
    now = timezone.now()
    for number, change in enumerate(({"is_enabled": False}, {"expiry": now - timedelta(seconds=1)})):
        token, plain = token_for(owner, name=f"n{number}")
        ApiToken.objects.filter(pk=token.pk).update(**change)

        assert get_me(plain).status_code == 401


@pytest.mark.parametrize("state", [{"is_active": False}, {"suspended_at": timezone.now()}])
def test_token_stops_with_its_owner(state):
    user = UserFactory()
    _, plain = token_for(user)
    type(user).objects.filter(pk=user.pk).update(**state)

    assert get_me(plain).status_code == 401


@pytest.mark.parametrize(
    ("networks", "ip", "status"),
    [
        ([], "203.0.113.9", 200),
        (["10.0.0.0/8"], "10.1.2.3", 200),
        (["10.0.0.0/8"], "203.0.113.9", 401),
        (["2001:db8::/32"], "2001:db8::1", 200),
        (["2001:db8::/32"], "10.1.2.3", 401),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", 200),
    ],
)
def test_token_is_bound_to_its_networks(owner, networks, ip, status):
    _, plain = token_for(owner, allowed_networks=networks)

    assert get_me(plain, REMOTE_ADDR=ip).status_code == status


def test_forwarded_address_of_an_untrusted_peer_does_not_open_a_bound_token(owner):
    _, plain = token_for(owner, allowed_networks=["10.0.0.0/8"])

    answer = get_me(plain, REMOTE_ADDR="203.0.113.9", HTTP_X_FORWARDED_FOR="10.1.2.3")

    assert answer.status_code == 401


def test_scoped_token_never_exceeds_its_owner(owner):
    _, narrow = token_for(owner, name="narrow", scopes=["tokens.view"])
    _, greedy = token_for(owner, name="greedy", scopes=["users.create", "audit.view"])
    client = APIClient()

    assert client.get("/api/v1/tokens", headers=token_header(narrow)).status_code == 200
    assert client.get(ME, headers=token_header(narrow)).status_code == 403
    assert client.get("/api/v1/audit", headers=token_header(greedy)).status_code == 403
    body = {"username": "x"}
    assert client.post("/api/v1/users", body, headers=token_header(greedy)).status_code == 403


def test_token_authentication_costs_one_query(owner, django_assert_num_queries):
    _, plain = token_for(owner)
    get_me(plain)

    with django_assert_num_queries(2) as queries:  # token with owner and access; and `me` shows the own quota
        assert get_me(plain).status_code == 200

    assert "accounts_quota" in queries.captured_queries[1]["sql"]


def test_last_use_is_written_at_most_once_a_minute(owner):
    token, plain = token_for(owner)
    get_me(plain, REMOTE_ADDR="192.0.2.1")
    token.refresh_from_db()
    first = token.last_used_at
    get_me(plain, REMOTE_ADDR="192.0.2.2")
    token.refresh_from_db()

    assert (token.last_used_at, token.last_used_ip) == (first, "192.0.2.1")

    ApiToken.objects.filter(pk=token.pk).update(last_used_at=first - timedelta(minutes=1))
    get_me(plain, REMOTE_ADDR="192.0.2.2")
    token.refresh_from_db()

    assert (token.last_used_at > first, token.last_used_ip) == (True, "192.0.2.2")


def test_session_needs_the_csrf_token_on_unsafe_requests(owner):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(owner)

    assert client.patch(ME, {"theme": "dark"}).status_code == 403

    client.get("/accounts/password/change/")
    header = {"X-CSRFToken": client.cookies["csrftoken"].value}
    assert client.patch(ME, {"theme": "dark"}, headers=header).status_code == 200


def test_token_needs_no_csrf_token(owner):
    _, plain = token_for(owner)

    answer = APIClient(enforce_csrf_checks=True).patch(ME, {"theme": "dark"}, headers=token_header(plain))

    assert answer.status_code == 200


def test_suspended_session_is_refused_by_the_api(owner, api, admin):
    client = api(owner)
    services.suspend_user(owner, reason="x", actor=admin)

    assert client.get(ME).status_code == 401


def test_role_change_takes_effect_on_the_next_request(admin, owner, api):
    client = api(owner)
    assert client.get("/api/v1/audit").status_code == 403

    services.set_role(owner, "Viewer", actor=admin)

    assert client.get("/api/v1/audit").status_code == 200


def test_request_by_token_names_it_in_the_audit_trail(owner):
    _, plain = token_for(owner, name="ci")

    APIClient().patch(
        ME, {"theme": "dark"}, headers=token_header(plain) | {"X-Request-ID": "a-request-1"}, REMOTE_ADDR="192.0.2.7"
    )

    entry = AuditEntry.objects.get(action="user.updated")
    assert (entry.actor_name, entry.token_name, entry.via) == ("owner", "ci", "api")
    assert (entry.ip, entry.request_id) == ("192.0.2.7", "a-request-1")


def test_service_account_lives_by_token_alone(client):
    robot = services.create_user("robot", actor=SYSTEM, is_service=True)
    _, plain = token_for(robot)

    assert get_me(plain).status_code == 200
    client.post("/accounts/login/", {"login": "robot", "password": PASSWORD})
    assert "_auth_user_id" not in client.session
