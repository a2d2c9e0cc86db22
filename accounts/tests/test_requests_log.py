"""The request log: every request with its user and address."""

from __future__ import annotations

import csv
import io
import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import requests_log
from accounts.models import RequestEntry

from .factories import UserFactory, token_for, token_header

pytestmark = pytest.mark.django_db


@pytest.fixture
def log(settings, monkeypatch) -> requests_log.RequestLogHandler:
    """The handler of the settings, without its thread."""
    settings.HUB_REQUEST_LOG_DAYS = 30
    handlers = logging.getLogger("hub.access").handlers
    handler = next(each for each in handlers if isinstance(each, requests_log.RequestLogHandler))
    monkeypatch.setattr(handler, "_start", lambda: None)
    handler.waiting.clear()
    return handler


def test_requests_of_pages_and_api_are_kept_with_user_and_address(client, owner, log):
    _, plain = token_for(owner)
    client.force_login(owner)
    client.get("/profile?secret=no", REMOTE_ADDR="192.0.2.4")
    client.logout()
    client.get("/api/v1/users/me", headers=token_header(plain), REMOTE_ADDR="192.0.2.5")
    client.get("/api/v1/users/me")
    log.flush_rows()

    rows = RequestEntry.objects.order_by("id").values_list("user", "ip", "via", "method", "path", "status")
    assert list(rows) == [
        ("owner", "192.0.2.4", "web", "GET", "/profile", 200),
        ("owner", "192.0.2.5", "api", "GET", "/api/v1/users/me", 200),
        ("", "127.0.0.1", "api", "GET", "/api/v1/users/me", 401),
    ]


def test_line_and_answer_have_the_same_request_id(client, log):
    answer = client.get("/accounts/login/")
    log.flush_rows()

    assert RequestEntry.objects.get().request_id == answer["X-Request-ID"]


def test_links_of_mails_and_health_checks_are_not_kept(client, log):
    client.get("/invite/a-secret-of-somebody")
    client.get("/health/live")
    log.flush_rows()

    assert [row.path for row in RequestEntry.objects.all()] == ["/invite/…"]


def test_strange_paths_are_kept_whole_or_cut(client, log):
    client.get("/x" * 600)
    client.get("/a%00b\t\\N%0A")
    log.flush_rows()

    assert RequestEntry.objects.count() == 2


def test_it_is_off_when_nothing_is_to_be_kept(client, settings, log):
    settings.HUB_REQUEST_LOG_DAYS = 0
    client.get("/accounts/login/")

    assert log.flush_rows() == 0


def test_more_than_can_wait_drops_the_oldest(client, log, monkeypatch):
    monkeypatch.setattr(log, "waiting", type(log.waiting)(maxlen=3))
    for number in range(5):
        client.get(f"/nothing-{number}")
    log.flush_rows()

    assert [row.path for row in RequestEntry.objects.order_by("id")] == ["/nothing-2", "/nothing-3", "/nothing-4"]


def test_old_lines_are_deleted(client, log, settings):
    client.get("/old")
    client.get("/new")
    log.flush_rows()
    RequestEntry.objects.filter(path="/old").update(at=timezone.now() - timedelta(days=31))

    requests_log.forget_old()

    assert [row.path for row in RequestEntry.objects.all()] == ["/new"]


@pytest.mark.parametrize(("role", "status"), [("Admin", 200), ("Operator", 403), ("Viewer", 403), ("Player", 403)])
def test_page_is_the_admins(client, role, status):
    client.force_login(UserFactory(role=role))

    assert client.get("/requests/").status_code == status


def test_page_filters_and_exports(client, admin, log):
    client.get("/nothing", REMOTE_ADDR="192.0.2.9")
    client.get("/accounts/login/", REMOTE_ADDR="192.0.2.8")
    log.flush_rows()
    client.force_login(admin)

    by_answer = client.get("/requests/?answer=400").content.decode()
    by_address = client.get("/requests/?q=192.0.2.8&csv=1").content.decode()

    assert "/nothing" in by_answer
    assert "/accounts/login/" not in by_answer.partition('id="list"')[2]
    assert [row[0] for row in csv.reader(io.StringIO(by_address))] == ["Request", "GET /accounts/login/"]
