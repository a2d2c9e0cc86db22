"""What logging in costs beside the hash of the password, and what a token costs with next to nothing to do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from django.contrib.auth.hashers import check_password
from django.core.cache import cache
from django.test import Client

from accounts.models import User

from .api import figure, reader
from .harness import Figure, benchmark, cpu_ms, median_of

PASSWORD = "correct horse battery staple"  # noqa: S105 - of an account that exists for a minute
LOGINS = 5


@benchmark
def login() -> Iterator[Figure]:
    """A login for programs, beside one check of the password alone."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    user = User.objects.create_user(name, f"{name}@example.org", PASSWORD)
    reader()  # lifts the limits of requests
    client = Client(SERVER_NAME="localhost")
    body = json.dumps({"username": name, "password": PASSWORD})

    def log_in() -> None:
        answer = client.post("/api/v1/auth/login", body, content_type="application/json")
        if answer.status_code != 200:
            raise RuntimeError(f"login: {answer.status_code} {answer.content[:200]!r}")

    cache.clear()
    log_in()
    ours, spread = median_of(lambda: cpu_ms(log_in, LOGINS))
    raw, _ = median_of(lambda: cpu_ms(lambda: check_password(PASSWORD, user.password), LOGINS))
    yield Figure("login, CPU of the web process", ours, "ms", 1.25, raw=raw, raw_name="the hash", spread=spread)


@benchmark
def token() -> Iterator[Figure]:
    """Who am I, by an API token."""
    ask, headers = reader().ask, reader().by_token
    yield figure("GET /api/v1/auth/me by token", 1.5, lambda: ask("/api/v1/auth/me", headers))
