"""Addresses that belong to no app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from hub import health

pytestmark = pytest.mark.django_db


def test_unknown_page_is_a_404_page(client: Client) -> None:
    response = client.get("/nowhere")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_unknown_api_address_is_a_problem_outside_drf_too(client: Client) -> None:
    response = client.get("/api/v1/nowhere")

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["request_id"] == response["X-Request-ID"]


def test_api_address_with_a_slash_at_the_end_says_so(client: Client) -> None:
    response = client.get("/api/v1/users/")

    assert response.status_code == 404
    assert "no slash at the end" in response.json()["detail"]


def test_strange_host_is_a_400_page(client: Client) -> None:
    response = client.get("/nowhere", headers={"host": "evil.example"})

    assert response.status_code == 400


def test_expired_form_is_explained() -> None:
    response = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "ada"})

    assert response.status_code == 403
    assert "This form has expired" in response.text


def test_metrics_are_for_this_machine(client: Client) -> None:
    assert b"http_requests_total" in client.get("/metrics", REMOTE_ADDR="127.0.0.1").content
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.5").status_code == 403


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_metrics_are_not_for_those_behind_a_proxy_on_this_machine(client: Client, header: str) -> None:
    response = client.get("/metrics", headers={header: "127.0.0.1"}, REMOTE_ADDR="127.0.0.1")

    assert response.status_code == 403


def test_metrics_open_with_the_token(client: Client, settings: Any) -> None:
    settings.HUB_METRICS_TOKEN = "s3cret"

    right = client.get("/metrics", headers={"authorization": "Bearer s3cret"}, REMOTE_ADDR="203.0.113.5")
    wrong = client.get("/metrics", headers={"authorization": "Bearer s3crett"}, REMOTE_ADDR="203.0.113.5")

    assert (right.status_code, wrong.status_code) == (200, 403)


def test_no_token_set_means_no_token_works(client: Client, settings: Any) -> None:
    settings.HUB_METRICS_TOKEN = ""

    assert client.get("/metrics", headers={"authorization": "Bearer "}, REMOTE_ADDR="203.0.113.5").status_code == 403


@pytest.mark.parametrize(("role", "status"), [("Admin", 200), ("Operator", 403), ("Viewer", 403), ("Player", 403)])
def test_queue_dashboard_is_the_admins(client: Client, person: Callable[..., Any], role: str, status: int) -> None:
    user = person("ada", role)
    user.is_staff = role != "Player"
    user.save()
    client.force_login(user)

    assert client.get("/jobs/").status_code == status


def test_queue_dashboard_asks_strangers_to_log_in(client: Client) -> None:
    assert client.get("/jobs/")["Location"] == "/accounts/login/?next=/jobs/"


def test_admin_login_is_the_one_with_the_second_factor(client: Client) -> None:
    assert client.get("/admin/login/?next=/admin/")["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_probes_are_never_cached_and_take_no_post(client: Client, path: str) -> None:
    assert "no-store" in client.get(path)["Cache-Control"]
    assert client.post(path).status_code == 405


def test_health_shows_details_to_monitors_only(client: Client) -> None:
    stranger = client.get("/health", REMOTE_ADDR="203.0.113.5").json()
    health._kept.clear()
    monitor = client.get("/health", REMOTE_ADDR="127.0.0.1").json()

    assert all("detail" not in check for check in stranger["checks"])
    assert all("detail" in check for check in monitor["checks"])


def test_health_is_503_when_a_critical_check_fails(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(health._runners, "bad", health._Runner("bad", lambda: health.Finding("down"), critical=True))

    response = client.get("/health")

    assert response.status_code == 503
    assert response.json()["status"] == "down"


def test_live_asks_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "report", lambda *args: pytest.fail("asked"))

    assert client.get("/health/live").json() == {"status": "ok"}
