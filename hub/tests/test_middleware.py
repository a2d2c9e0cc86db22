"""Request ids, addresses behind proxies, access lines, and refused requests as pages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client, RequestFactory

from hub.logs import ContextFilter
from hub.middleware import client_ip

pytestmark = [pytest.mark.django_db, pytest.mark.urls("hub.tests.urls")]


def ip_of(remote: str, forwarded: str | None = None) -> str | None:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    return client_ip(RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote))


def test_request_id_of_a_proxy_is_kept(client: Client) -> None:
    response = client.get("/test/who", headers={"x-request-id": "abc-123.DEF_4"})

    assert response["X-Request-ID"] == "abc-123.DEF_4"
    assert response.content.startswith(b"abc-123.DEF_4 ")


@pytest.mark.parametrize("given", ["short", "x" * 65, "has space in it", "new\tline-12345", "ünïcode-id", ""])
def test_strange_request_id_is_replaced(client: Client, given: str) -> None:
    response = client.get("/test/who", headers={"x-request-id": given})

    assert response["X-Request-ID"] != given
    assert len(response["X-Request-ID"]) == 32


def test_each_request_gets_its_own_id(client: Client) -> None:
    assert client.get("/test/who")["X-Request-ID"] != client.get("/test/who")["X-Request-ID"]


@pytest.mark.parametrize(
    ("path", "via"), [("/test/who", "web"), ("/api/test/who", "api"), ("/admin/test/who", "admin")]
)
def test_door_follows_the_path(client: Client, path: str, via: str) -> None:
    assert client.get(path).content.endswith(f" {via}".encode())


def test_forwarded_address_of_a_stranger_is_not_believed(settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]

    assert ip_of("198.51.100.7", "203.0.113.5") == "198.51.100.7"


def test_nobody_is_trusted_unless_told(settings: Any) -> None:
    settings.TRUSTED_PROXIES = []

    assert ip_of("127.0.0.1", "203.0.113.5") == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "seen"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("1.2.3.4, 203.0.113.5", "203.0.113.5"),  # what stands left of it may be invented
        ("203.0.113.5, 10.0.0.9", "203.0.113.5"),  # a second proxy of ours
        ("10.0.0.8, 10.0.0.9", "10.0.0.8"),
        ("203.0.113.5, nonsense", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_rightmost_untrusted_hop_is_the_asker(settings: Any, forwarded: str, seen: str) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]

    assert ip_of("10.0.0.1", forwarded) == seen


def test_unix_socket_has_no_address_and_is_a_proxy(settings: Any) -> None:
    settings.TRUSTED_PROXIES = []

    assert ip_of("") is None
    assert ip_of("", "203.0.113.5") == "203.0.113.5"
    assert ip_of("", "1.2.3.4, 203.0.113.5") == "203.0.113.5"


def test_access_line_has_no_query_and_no_secret(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hub.access"):
        client.get("/test/who?token=hunter2", headers={"authorization": "Token hunter2"})

    (line,) = caplog.records
    assert line.getMessage().startswith("GET /test/who 200 ")
    assert (line.__dict__["status"], line.__dict__["path"]) == (200, "/test/who")
    assert "hunter2" not in str(line.__dict__)


def test_access_line_names_the_user(
    client: Client, person: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(person("ada"))

    caplog.handler.addFilter(ContextFilter())

    with caplog.at_level(logging.INFO, "hub.access"):
        response = client.get("/test/who")

    (line,) = caplog.records
    assert (line.__dict__["user"], line.__dict__["request_id"]) == ("ada", response["X-Request-ID"])


def test_probes_are_not_logged_while_all_is_well(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hub.access"):
        client.get("/health/live")

    assert caplog.records == []


def test_refused_request_becomes_a_page(client: Client) -> None:
    response = client.get("/test/fail/conflict")

    assert response.status_code == 409
    assert "It is running." in response.text
    assert response["X-Request-ID"] in response.text
    assert response["Content-Type"].startswith("text/html")


def test_refused_htmx_request_becomes_a_fragment(client: Client) -> None:
    response = client.get("/test/fail/conflict", headers={"hx-request": "true"})

    assert response.status_code == 409
    assert "It is running." in response.text
    assert "<html" not in response.text


def test_refusal_says_when_to_come_back(client: Client) -> None:
    assert client.get("/test/fail/too-many")["Retry-After"] == "30"


def test_plain_view_below_api_answers_as_problem(client: Client) -> None:
    response = client.get("/api/test/plain/conflict")

    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "server_running"


def test_database_away_is_a_503_page_without_its_words(client: Client) -> None:
    response = client.get("/test/fail/database")

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "10.0.0.5" not in response.text


def test_page_of_a_failed_database_does_not_ask_for_the_user(
    client: Client, person: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(person("tsitsi"))  # no letters of a request id
    monkeypatch.setattr("accounts.middleware._has_session", lambda request: False)

    response = client.get("/test/fail/database")

    assert response.status_code == 503
    assert "tsitsi" not in response.text


def test_bug_is_a_500_page_without_internals(client: Client) -> None:
    client.raise_request_exception = False

    response = client.get("/test/fail/bug")

    assert response.status_code == 500
    assert "secret internals" not in response.text
    assert response["X-Request-ID"] in response.text


@pytest.mark.parametrize(("name", "levels"), [("conflict", ["INFO"]), ("database", ["ERROR", "WARNING"])])
def test_refused_request_has_one_access_line(
    client: Client, caplog: pytest.LogCaptureFixture, name: str, levels: list[str]
) -> None:
    with caplog.at_level(logging.INFO):
        client.get(f"/test/fail/{name}")

    assert [line.levelname for line in caplog.records] == levels
    assert caplog.records[-1].name == "hub.access"


def test_bug_is_logged_with_its_traceback_and_request_id(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.raise_request_exception = False
    caplog.handler.addFilter(ContextFilter())

    with caplog.at_level(logging.INFO):
        response = client.get("/test/fail/bug")

    (line,) = [line for line in caplog.records if line.exc_info]
    assert line.levelname == "ERROR"
    assert line.__dict__["request_id"] == response["X-Request-ID"]


@pytest.mark.parametrize("path", ["/invite/s3cret", "/accounts/password/reset/key/1-s3cret/"])
def test_links_of_mails_are_logged_without_their_secret(client, caplog, path):
    with caplog.at_level("INFO", logger="hub.access"):
        client.get(path)

    assert "s3cret" not in caplog.text
    assert path[:8] in caplog.text
