"""nginx before the hub, as deploy/ sets it up: real nginx, real web processes, TLS."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from accounts import jwt
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges.models import ChallengeFile, FileDownload
from challenges.tests.factories import EntryFactory, participate
from hub.testing import wait_until

from .proxy import NAME, Proxy

pytestmark = [pytest.mark.nginx, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
LOGIN, REFRESH = "/api/v1/auth/login", "/api/v1/auth/refresh"
JSON = {"Content-Type": "application/json"}
REQUESTS = 10_000
ROUNDS = 3
CLIENTS = 4


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(tmp_path, HUB_CHALLENGE_FILE_ACCEL="/challenge-files-internal/").running("web-1") as proxy:
        yield proxy


def test_hub_is_served_by_tls_alone_and_knows_it(proxy: Proxy) -> None:
    status, headers, _ = proxy.ask("/accounts/login/")

    assert status == 200
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Secure" in headers["Set-Cookie"]
    assert proxy.ask_plainly("/servers/?q=a") == (308, f"https://{NAME}/servers/?q=a")
    assert proxy.ask("/metrics")[0] == 404


def test_address_that_a_client_invents_is_not_believed(proxy: Proxy) -> None:
    body = json.dumps({"username": "nobody", "password": "wrong"})

    status, *_ = proxy.ask(LOGIN, method="POST", body=body, **JSON, **{"X-Forwarded-For": "203.0.113.9"})

    assert status == 401
    assert AuditEntry.objects.latest("id").ip == "127.0.0.1"


def test_file_of_a_challenge_is_sent_by_nginx_to_who_plays_and_to_nobody_else(proxy: Proxy) -> None:
    entry = EntryFactory()
    captain = participate(entry.event).team.captain
    file = ChallengeFile.objects.create(
        challenge=entry.challenge,
        name="größe.zip",
        content=f"{entry.challenge.pk}/stored",
        size_bytes=8,
        sha256="0" * 64,
    )
    stored = proxy.root / "data" / "challenge-files" / file.content.name
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"PK\x03\x04flag")
    path = f"/api/v1/event-challenges/{entry.pk}/files/{file.pk}"

    def ask(user: Any, **headers: str) -> tuple[int, Any, bytes]:
        return proxy.ask(path, **headers, Authorization=f"Bearer {jwt.log_in(user).access}")

    status, headers, body = ask(captain)

    assert (status, body) == (200, b"PK\x03\x04flag")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.zip"
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert "X-Accel-Redirect" not in headers
    assert ask(captain, Range="bytes=4-")[::2] == (206, b"flag")
    assert ask(UserFactory())[0] == 404
    assert proxy.ask(path)[0] == 401
    assert proxy.ask(f"/challenge-files-internal/{file.content.name}")[0] == 404
    assert {one.user_name for one in FileDownload.objects.all()} == {captain.username}


def test_body_that_is_too_large_ends_at_the_proxy(proxy: Proxy) -> None:
    status, headers, _ = proxy.ask(LOGIN, method="POST", body=b"x" * (9 * 2**20), **JSON)

    assert status == 413
    assert "X-Request-ID" not in headers


def test_file_of_a_challenge_comes_to_the_hub_which_refuses_a_stranger_unread(proxy: Proxy) -> None:
    status, headers, _ = proxy.ask("/challenges/cookie-jar/files", method="POST", body=b"x" * (9 * 2**20), **JSON)

    assert status == 413
    assert "X-Request-ID" in headers


def test_clients_that_send_slowly_hold_no_thread_of_the_hub(proxy: Proxy) -> None:
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{{"
    slow = [proxy.connect() for _ in range(20)]
    for connection in slow:
        connection.connect()
        connection.sock.sendall(head.encode())

    started = time.monotonic()
    status, *_ = proxy.ask("/health/live")

    assert (status, time.monotonic() - started < 30) == (200, True)
    for connection in slow:
        connection.close()


def test_process_that_is_away_is_passed_over_for_posts_too(proxy: Proxy) -> None:
    """web-2 was never started: its socket is not there."""
    answers = Counter(proxy.ask(REFRESH, method="POST", body='{"refresh": "x"}', **JSON)[0] for _ in range(20))

    assert answers == {401: 20}


def test_two_web_processes_are_renewed_under_load_without_a_failed_request(tmp_path: Path) -> None:
    with Proxy(tmp_path, HUB_API_RATE_ANONYMOUS="0").running("web-1", "web-2") as proxy:
        load = Load(proxy)
        wait_until(lambda: sum(load.answers.values()) > 100, timeout=60, what="the load")
        endings = [proxy.renew(name) for _ in range(ROUNDS) for name in ("web-1", "web-2")]
        wait_until(lambda: sum(load.answers.values()) >= REQUESTS, timeout=400, what="all requests")
        load.stop()

    assert load.failures == []
    assert set(load.answers) == {("GET", 200), ("POST", 401)}
    assert endings == [0] * 2 * ROUNDS


class Load:
    """Clients that keep their connections and read and write in turn, until they are told to stop."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.answers: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)

    def _ask_on(self) -> None:
        connection = self.proxy.connect()
        while not self._ended.is_set():
            for method, path, body in (("GET", "/health/live", None), ("POST", REFRESH, '{"refresh": "x"}')):
                try:
                    connection.request(method, path, body, {"Host": NAME, **JSON})
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, HTTPException) as error:
                    self.failures.append(f"{method}: {error!r}")
                    connection.close()
                    continue
                with self._lock:
                    self.answers[method, answer.status] += 1
        connection.close()
