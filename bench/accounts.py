"""What logging in costs beside the hash of the password, and what a token costs with next to nothing to do."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from django.contrib.auth.hashers import check_password
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import clear_url_caches, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import ApiToken, User
from hub import urls
from hub.api.throttles import ThrottledView
from servers.models import GameServer

from .api import reader
from .harness import Figure, benchmark, cpu_ms, median_of
from .wsgi import figure

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


class Nothing(ThrottledView):
    """Does nothing for whoever may call the API."""

    permission_classes = (IsAuthenticated,)

    def get(self, request: Request) -> Response:
        return Response(status=204)


@benchmark
def token() -> Iterator[Figure]:
    """What every request by an API token pays: middleware, token, limits and permission, around a view of nothing."""
    urls.urlpatterns.insert(0, path("api/v1/bench-nothing", Nothing.as_view()))
    clear_url_caches()
    ask, headers = reader().ask, reader().by_token
    yield figure("a view that does nothing, by token", 1.5, lambda: ask("/api/v1/bench-nothing", headers, 204))


@benchmark
def permission_queries() -> Iterator[Figure]:
    """Statements of a list of 50 by token: who asks, how many there are, the rows. Permissions add none."""
    ask, headers = reader().ask, reader().by_token
    ask("/api/v1/servers?limit=50", headers)
    with CaptureQueriesContext(connection) as caught:
        ask("/api/v1/servers?limit=50", headers)
    rows = GameServer.objects.filter(owner=reader().server.owner)
    with CaptureQueriesContext(connection) as bare:
        ApiToken.objects.select_related("user").get(user=reader().server.owner)
        rows.count()
        list(rows[:50])
    added = len(caught) - len(bare)
    yield Figure("statements that permissions add to GET /api/v1/servers, 50 of 200", added, "", 0)
