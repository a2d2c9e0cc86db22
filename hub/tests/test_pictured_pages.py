"""Every page is looked at in a browser, by axe and for a picture: a new one fails here until some visit has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import resolve

from challenges.tests import test_browser as challenges
from devices.tests import test_browser as devices
from servers.tests import test_browser_pages as servers

from .test_permission_table import QUERIES, Visitor, read_table
from .world import make_world

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

VISITS: tuple[Callable[[], dict[str, str]], ...] = (servers.fill, devices.fill, challenges.fill_for_organiser)
ELSEWHERE = {
    "events/<slug:slug>/play": "path of a team",
    "events/<slug:slug>/play/<slug:challenge>": "path of a team",
    "teams/<int:pk>": "path of a team",
    "teams/new": "its form stands on the page of teams, which the path of a team begins with",
    "profile/delete": "journey of an account",
    "profile/sessions": "journey of an account",
}


def visited(fill: Callable[[], dict[str, str]]) -> set[str]:
    """The routes of the pages that a visit goes to, with nothing left behind."""
    with transaction.atomic():
        paths = fill().values()
        routes = {resolve(f"/{urlsplit(path).path.lstrip('/')}").route for path in paths if path != "/nowhere"}
        transaction.set_rollback(True)
    return routes


def is_page_of_its_own(answer: Any) -> bool:
    """No fragment, and not the one page that asks before something is destroyed, which `server-delete` shows."""
    names = {template.name for template in answer.templates}
    return "skeleton.html" in names and "confirm.html" not in names


def test_every_page_is_visited(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    """Add what is missing to the `fill()` of its app, or say in ELSEWHERE which test looks at it."""
    monkeypatch.setattr(connection, "close", lambda: None)  # which they do for the threads of a live server
    seen: set[str] = set(ELSEWHERE).union(*(visited(fill) for fill in VISITS))
    world = Visitor(make_world())
    client.force_login(world.world.person("admin"))

    missing = []
    for route, answers in read_table().items():
        method, path = route.split(" ", 1)
        if method != "GET" or path.startswith("api/") or answers[0] != "200" or path.lstrip("/") in seen:
            continue
        answer = client.get(f"/{world._filled(path).lstrip('/')}{QUERIES.get(route, '')}")
        if is_page_of_its_own(answer):
            missing.append(path)

    assert missing == []
