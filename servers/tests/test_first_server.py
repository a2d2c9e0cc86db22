"""`manage.py first_server`: what `make up` ends with."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.tests.factories import UserFactory
from hub.engines.base import EngineError, Reason
from hub.engines.fake import FakeEngine
from hub.nodes.models import Node
from hub.nodes.sweep import tick
from hub.testing import replace_sleep
from servers import services
from servers.catalogue import sync_catalogue
from servers.management.commands import first_server
from servers.models import GameServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def hub(node: Node, engine: FakeEngine, games: Any, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A hub as after bootstrap; the agent works while the command waits."""
    sync_catalogue()
    UserFactory(username="admin", role="Admin")
    replace_sleep(monkeypatch, first_server, lambda _: tick(node))
    return engine


def run() -> dict[str, Any]:
    out = StringIO()
    call_command("first_server", stdout=out)
    return dict(json.loads(out.getvalue()))


def test_creates_the_server_waits_and_prints_one_line(hub: FakeEngine) -> None:
    report = run()

    assert report.pop("seconds") >= 0
    assert report == {
        "name": "first-light",
        "address": "127.0.0.1:25565",
        "console": "nc 127.0.0.1 25565",
        "status": "running",
    }
    assert GameServer.objects.get().owner.username == "admin"


def test_finds_it_again_and_starts_it_when_it_was_stopped(hub: FakeEngine) -> None:
    run()
    server = GameServer.objects.get()
    services.stop_server(server, actor=User.objects.get())

    assert run()["status"] == "running"
    assert GameServer.objects.count() == 1


def test_says_why_when_it_cannot_run(hub: FakeEngine) -> None:
    hub.fail("ensure", EngineError("There is no such program.", reason=Reason.REFUSED, permanent=True), times=None)

    with pytest.raises(CommandError, match=r"first-light failed: There is no such program\."):
        run()


def test_says_how_far_it_came_when_time_is_up(hub: FakeEngine, games: Any) -> None:
    games.answer = None

    with pytest.raises(CommandError, match="first-light is starting: Nothing listens"):
        call_command("first_server", timeout=0.3)


def test_says_what_is_missing_before_bootstrap(db: None) -> None:
    with pytest.raises(CommandError, match="bootstrap"):
        call_command("first_server")


def test_says_when_there_is_no_room(hub: FakeEngine, node: Node) -> None:
    Node.objects.update(memory_mb=512)

    with pytest.raises(CommandError, match="full"):
        call_command("first_server")
