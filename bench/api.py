"""What reading costs the web process: lists, fragments, the overview and next to nothing, through the whole stack.

CPU of this process alone: PostgreSQL and Redis have their own. A Player's token and an Admin's session; 200 servers.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cache, partial

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client

from accounts.actors import SYSTEM
from accounts.models import Quota, User
from accounts.roles import ADMIN, PLAYER
from accounts.tokens import create_token
from servers import services
from servers.catalogue import sync_catalogue
from servers.models import GameServer, Template

from .harness import Figure, benchmark
from .lease import make_pool
from .wsgi import ask, figure

SERVERS = 200
HIGH = 1_000_000


class Reader:
    """Owner and Admin of 200 servers, asking the WSGI application itself."""

    def __init__(self) -> None:
        settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, HIGH)
        settings.HUB_CREATES_PER_HOUR = HIGH
        sync_catalogue()
        owner = self._person(PLAYER)
        Quota.objects.create(user=owner, servers=HIGH, memory_mb=HIGH, cpu_percent=HIGH, disk_mb=HIGH * 10)
        node = make_pool().node
        template = Template.objects.get(slug="sample")
        for number in range(SERVERS):
            services.create_server(
                actor=SYSTEM,
                owner=owner,
                name=f"arena {number}",
                template=template,
                region=node.region,
                memory_mb=1024,
                disk_mb=5000,
            )
        GameServer.objects.update(observed_status="running", facts={"players": 3, "max_players": 20})
        self.server = GameServer.objects.filter(owner=owner)[0]
        self.by_token = {"Authorization": f"Token {create_token(owner, name='bench', actor=SYSTEM)[1]}"}
        browser = Client()
        admin = self._person(ADMIN)
        browser.force_login(admin)
        key = browser.session.session_key  # what a login by the page notes beside the session
        UserSession.objects.create(user=admin, session_key=key, ip="127.0.0.1", user_agent="bench")
        self.by_session = {"Cookie": browser.cookies.output(header="", sep=";").strip()}

    def _person(self, role: str) -> User:
        name = uuid.uuid4().hex[:8]
        user = User.objects.create(username=f"bench-{name}", email=f"{name}@example.org", is_staff=role == ADMIN)
        user.groups.add(Group.objects.get(name=role))
        return user

    def ask(self, path: str, headers: dict[str, str], wanted: int = 200) -> dict[str, str]:
        """One GET; answers its headers."""
        return ask("GET", path, headers, wanted=wanted)[0]


@cache
def reader() -> Reader:
    """Made once for all benchmarks of this module."""
    return Reader()


@benchmark
def read_api() -> Iterator[Figure]:
    """Lists and next to nothing, by token."""
    ask, token = reader().ask, reader().by_token
    listed, one = "/api/v1/servers?limit=50", f"/api/v1/servers/{reader().server.pk}"
    known = {**token, "If-None-Match": ask(listed, token)["ETag"]}
    yield figure("GET /api/v1/servers, 50 of 200", 6, lambda: ask(listed, token))
    yield figure("GET /api/v1/servers, 50 of 200, unchanged (304)", 6, lambda: ask(listed, known, 304))
    yield figure("GET /api/v1/servers/{id}", 6, lambda: ask(one, token))


@benchmark
def read_pages() -> Iterator[Figure]:
    """The list, the overview and fragments without news, by an Admin's session."""
    ask, session = reader().ask, reader().by_session
    server = f"/servers/{reader().server.pk}"
    yield figure("GET /servers/, 50 of 200 as HTML", 15, lambda: ask("/servers/", session))
    yield figure("GET / (overview)", 20, lambda: ask("/", session))
    for name, path, target in (
        ("top of a server", f"{server}/head", "server-head"),
        ("table of 50 servers", "/servers/", "list"),
    ):
        asked = {**session, "HX-Request": "true", "HX-Target": target}
        known = {**asked, "If-None-Match": ask(path, asked)["ETag"]}
        yield figure(f"fragment without news (304), {name}", 2, partial(ask, path, known, 304))
