"""The fourteen security checks of seed D90, each able to fail; the number in a name is its place in the seed's list."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from rest_framework.test import APIClient

from hub.api import throttles

from .factories import PASSWORD

pytestmark = pytest.mark.django_db

LOGIN, REGISTER, ME = "/api/v1/auth/login", "/api/v1/auth/register", "/api/v1/auth/me"
ADA = {"username": "ada", "email": "ada@example.org", "password": PASSWORD}
ORIGIN = "https://app.example.org"


@pytest.fixture(autouse=True)
def _open(settings) -> None:
    settings.HUB_REGISTRATION = "open"
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]


def refused_field(body: dict[str, str]) -> tuple[int, list[str]]:
    answer = APIClient().post(REGISTER, body)
    return answer.status_code, list(answer.json()["fields"])


def access() -> str:
    return APIClient().post(LOGIN, {"username": "owner", "password": PASSWORD}).json()["access"]


def get_me(access_token: str | None = None):
    headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
    return APIClient().get(ME, headers=headers)


def test_d90_01_health_answers(client):
    assert client.get("/health/live").status_code == 200


def test_d90_02_short_username_is_refused():
    assert refused_field({**ADA, "username": "ab"}) == (400, ["username"])


def test_d90_03_special_characters_are_refused():
    assert refused_field({**ADA, "username": "ada<script>"}) == (400, ["username"])


def test_d90_04_missing_password_is_refused():
    assert refused_field({"username": "ada", "email": "ada@example.org"}) == (400, ["password"])


def test_d90_05_short_password_is_refused():
    assert refused_field({**ADA, "password": "abc12"}) == (400, ["password"])


def test_d90_06_valid_login_answers_a_token():
    registered = APIClient().post(REGISTER, ADA)
    answer = APIClient().post(LOGIN, {"username": "ada", "password": PASSWORD})

    assert (registered.status_code, answer.status_code) == (201, 200)
    assert answer.json()["access"].count(".") == 2


def test_d90_07_wrong_password_is_401(owner):
    assert APIClient().post(LOGIN, {"username": "owner", "password": "wrong"}).status_code == 401


def test_d90_08_too_many_requests_are_429(monkeypatch, settings):
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: 1_000_000.0))
    settings.HUB_API_RATES = {**settings.HUB_API_RATES, "anonymous": 100}

    answers = [APIClient().get(ME) for _ in range(101)]

    assert {answer.status_code for answer in answers[:100]} == {401}
    assert answers[100].status_code == 429
    assert int(answers[100]["Retry-After"]) > 0


def test_d90_09_protected_without_token_is_401():
    assert get_me().status_code == 401


def test_d90_10_protected_with_token_is_200(owner):
    assert get_me(access()).status_code == 200


def test_d90_11_invalid_token_is_401(owner):
    good = access()

    assert get_me(good[:-2] + ("AA" if good[-2:] != "AA" else "BB")).status_code == 401


def test_d90_12_cors_headers_name_allowed_origins_only():
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    allowed = APIClient().options(ME, headers={"Origin": ORIGIN, **asked})
    stranger = APIClient().options(ME, headers={"Origin": "https://evil.example", **asked})

    assert allowed["Access-Control-Allow-Origin"] == ORIGIN
    methods = set(allowed["Access-Control-Allow-Methods"].split(", "))
    assert methods >= {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    assert "authorization" in allowed["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in allowed
    assert "Access-Control-Allow-Origin" not in stranger


def test_d90_13_public_catalogue_opens_without_login():
    assert APIClient().get("/api/v1/templates").status_code == 200


def test_d90_14_unknown_address_is_404():
    assert APIClient().get("/api/v1/nothing-here").status_code == 404


def test_d90_is_covered_whole():
    names = {name[:11] for name in vars(sys.modules[__name__]) if name.startswith("test_d90_")}

    assert names >= {f"test_d90_{number:02}" for number in range(1, 15)}
