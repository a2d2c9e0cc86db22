"""Suspicious activity has a stream and a counter of its own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as hub_settings
from django.test import Client

from accounts.tests.factories import PASSWORD, UserFactory
from hub.testing import api_client, child_environment, stop_rate_windows
from hub.tests.test_metering import figures, value

pytestmark = pytest.mark.django_db


def seen(kind: str) -> float:
    return value(figures(), "security_events_total", kind=kind)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.kind for record in caplog.records if record.name == "hub.security"]  # type: ignore[attr-defined]


def test_failed_logins_and_the_lock_that_follows(caplog: pytest.LogCaptureFixture) -> None:
    user = UserFactory(username="ada")
    before = seen("login_failed"), seen("login_locked")

    for _ in range(5):
        api_client().post("/api/v1/auth/login", {"username": user.username, "password": "wrong " + PASSWORD})

    assert (seen("login_failed") - before[0], seen("login_locked") - before[1]) == (5, 1)
    assert lines(caplog).count("login_failed") == 5
    assert PASSWORD not in caplog.text


def test_denied_page(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.force_login(UserFactory(username="eve"))
    before = seen("denied")

    client.get("/monitoring/")

    assert seen("denied") - before == 1
    (record,) = [record for record in caplog.records if record.name == "hub.security"]
    assert (record.path, record.status) == ("/monitoring/", 403)  # type: ignore[attr-defined]


def test_bad_token_counts_and_no_token_does_not() -> None:
    before = seen("bad_credentials")

    api_client().get("/api/v1/users/me")
    assert seen("bad_credentials") == before

    api_client("hub_nonsense").get("/api/v1/users/me")
    assert seen("bad_credentials") - before == 1


def test_exceeded_rate(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_rate_windows(monkeypatch)
    settings.HUB_API_RATES = {"anonymous": 1, "user": 1}
    client = api_client(UserFactory())
    before = seen("rate_limited")

    for _ in range(3):
        client.get("/api/v1/users/me")

    assert seen("rate_limited") - before == 2


def test_foreseen_answers_are_not_suspicious(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    client.get("/nowhere")
    client.get("/")

    assert lines(caplog) == []


def test_file_of_its_own_holds_json(tmp_path: Path) -> None:
    path = tmp_path / "security.log"
    code = "import django; django.setup(); from hub import security; security.note('denied', path='/x', status=403)"

    subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(HUB_SECURITY_LOG=str(path), DJANGO_SETTINGS_MODULE="hub.settings"),
        cwd=hub_settings.BASE_DIR,
        check=True,
        timeout=60,
    )

    (line,) = path.read_text().splitlines()
    assert {"kind": "denied", "path": "/x", "status": 403}.items() <= json.loads(line).items()
