"""Health, stopping and logs: how the agent speaks with a running server."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from hub.engines.base import EngineError, Observation, PortBinding, Reason, State
from hub.engines.fake import Behaviour, FakeEngine
from hub.exceptions import HubError
from hub.nodes.models import Node
from hub.nodes.sweep import tick
from servers import logs, remote, services
from servers.health import endpoint
from servers.models import GameServer, ServerLog
from servers.ports import TemplatePort
from servers.protocols import AuthenticationFailed
from servers.protocols.rcon import Dialect
from servers.tests.factories import RCON, TemplateFactory, make_server
from servers.tests.machine import settle

pytestmark = pytest.mark.django_db


def observation(*ports: PortBinding, host: str = "172.30.0.5") -> Observation:
    return Observation("server", uuid.uuid4(), 1, State.RUNNING, host=host, ports=ports)


class Consoles:
    """Stands in for remote consoles."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, int, str]] = []
        self.options: list[dict[str, Any]] = []
        self.passwords: list[str] = []
        self.error: Exception | None = None

    def __call__(self, host: str, port: int, password: str, **options: Any) -> Any:
        outer = self
        outer.options.append(options)
        outer.passwords.append(password)

        class Console:
            def connect(self) -> None:
                if outer.error:
                    raise outer.error

            def command(self, line: str, **_: Any) -> str:
                outer.commands.append((host, port, line))
                return ""

            def close(self) -> None:
                pass

            def __enter__(self) -> Any:
                self.connect()
                return self

            def __exit__(self, *_: Any) -> None:
                pass

        return Console()


@pytest.fixture
def consoles(monkeypatch: pytest.MonkeyPatch) -> Consoles:
    consoles = Consoles()
    monkeypatch.setattr(remote, "RconClient", consoles)
    monkeypatch.setattr(remote, "EconClient", consoles)
    monkeypatch.setattr("servers.health.RconClient", consoles)
    return consoles


# --- Where a port is reached --------------------------------------------------------------------------------------


def test_containers_are_reached_inside_their_network() -> None:
    seen = observation(PortBinding("game", "10.0.0.1", 25570, 25565))

    assert endpoint(seen, TemplatePort("game", 25565), by_image=True) == ("172.30.0.5", 25565)
    assert endpoint(seen, TemplatePort("rcon", 25575, is_public=False), by_image=True) == ("172.30.0.5", 25575)


def test_processes_are_reached_on_their_leased_addresses() -> None:
    seen = observation(
        PortBinding("game", "10.0.0.1", 25570, 25570), PortBinding("rcon", "127.0.0.1", 26001, 26001, public=False)
    )

    assert endpoint(seen, TemplatePort("game", 25565), by_image=False) == ("10.0.0.1", 25570)
    assert endpoint(seen, TemplatePort("rcon", 25575), by_image=False) == ("127.0.0.1", 26001)


# --- Health -------------------------------------------------------------------------------------------------------


def test_the_games_own_protocol_decides_and_its_facts_are_kept(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)

    settle(server, "running")

    assert games.asked[0] == ("minecraft", "127.0.0.1", 25565)
    assert server.facts == {"latency_ms": 1.2, "players": 3, "max_players": 20, "version": "1.21"}


def test_a_game_that_does_not_answer_is_starting(owner: User, engine: FakeEngine, games: Any) -> None:
    games.answer = None
    server = make_server(owner=owner)

    settle(server, "starting")
    tick(server.node)
    server.refresh_from_db()

    assert server.observed_status == "starting"


def test_a_game_that_is_never_ready_is_unhealthy_at_its_deadline(owner: User, engine: FakeEngine, games: Any) -> None:
    games.answer = None
    server = make_server(owner=owner, template=TemplateFactory(ready_timeout_seconds=0))

    settle(server, "unhealthy")

    assert server.status_reason.startswith("Not ready after 0 s: Nothing listens")


def test_rcon_log_in_as_sign_of_life(owner: User, engine: FakeEngine, consoles: Consoles) -> None:
    template = TemplateFactory(readiness_kind="rcon")
    server = make_server(owner=owner, template=template)

    settle(server, "running")

    consoles.error = AuthenticationFailed("Wrong password.")
    health = server.check_health(engine, engine.list_owned()[0])
    assert (health.is_ok, health.detail) == (False, "Wrong password.")


def test_a_refused_log_in_is_not_tried_again_before_the_next_start(
    owner: User, engine: FakeEngine, consoles: Consoles
) -> None:
    server = make_server(owner=owner, template=TemplateFactory(readiness_kind="rcon", stop_kind="rcon"))
    consoles.error = AuthenticationFailed("Wrong password.")
    for _ in range(4):
        tick(server.node)
    services.stop_server(server, actor=owner)
    settle(server, "stopped")
    tries, consoles.error = len(consoles.passwords), None

    services.start_server(server, actor=owner)
    settle(server, "running")

    assert tries == 1
    assert engine.calls("stop")[0].kwargs == {"signal": "SIGTERM"}


def test_a_password_that_cannot_be_opened_says_nothing_about_a_running_server(
    owner: User, engine: FakeEngine, consoles: Consoles, settings: Any
) -> None:
    server = make_server(owner=owner, template=TemplateFactory(readiness_kind="rcon"))
    seen, ring = observation(), settings.HUB_KEY_RING
    settings.HUB_KEY_RING = {"other": b"n" * 32}

    starting = server.check_health(engine, seen)
    settings.HUB_KEY_RING = ring
    settle(server, "running")
    settings.HUB_KEY_RING = {"other": b"n" * 32}
    running = server.check_health(engine, seen)

    assert (starting.is_ok, running.is_ok) == (False, True)
    assert "There is no key for" in starting.detail


def test_a_log_line_makes_ready_and_only_one_of_this_run(owner: User, engine: FakeEngine) -> None:
    template = TemplateFactory(readiness_kind="log", readiness_pattern="ready to (rumble|play)")
    engine.behave(Behaviour(output=("loading",)))
    server = make_server(owner=owner, template=template)
    settle(server, "starting")
    assert "not said yet" in server.status_reason or server.status_reason.startswith("Waiting")

    engine.write_log(server.engine_name, *["noise"] * 3000, "now ready to play")
    settle(server, "running")

    services.restart_server(server, actor=owner)
    settle(server, "starting")
    tick(server.node)
    server.refresh_from_db()
    assert server.observed_status == "starting"
    engine.write_log(server.engine_name, "again ready to play")
    settle(server, "running")


def test_a_running_server_is_not_held_to_its_log(owner: User, engine: FakeEngine) -> None:
    template = TemplateFactory(readiness_kind="log", readiness_pattern="ready")
    server = make_server(owner=owner, template=template)
    GameServer.objects.update(observed_status="running")
    server.refresh_from_db()

    assert server.check_health(engine, observation()).is_ok


# --- Stopping -----------------------------------------------------------------------------------------------------


def running(owner: User, **template: Any) -> GameServer:
    server = make_server(owner=owner, template=TemplateFactory(**template))
    settle(server, "running")
    services.stop_server(server, actor=owner)
    return server


def test_stop_by_a_signal_of_the_templates_choice(owner: User, engine: FakeEngine, games: Any) -> None:
    settle(running(owner, stop_value="SIGINT"), "stopped")

    assert engine.calls("stop")[0].kwargs == {"signal": "SIGINT"}


def test_stop_by_a_line_on_the_console(owner: User, engine: FakeEngine, games: Any) -> None:
    server = running(owner, stop_kind="console", stop_value="save-and-quit")

    tick(server.node)

    assert engine.input_of(server.engine_name) == ["save-and-quit"]
    assert not engine.calls("stop")


@pytest.mark.parametrize(("kind", "protocol"), [("rcon", "rcon"), ("econ", "econ")])
def test_stop_by_remote_console(
    owner: User, engine: FakeEngine, games: Any, consoles: Consoles, kind: str, protocol: str
) -> None:
    ports = [{"name": "game", "target_port": 8303}, {**RCON, "protocol": protocol}]
    server = running(owner, stop_kind=kind, stop_value="shutdown", ports=ports)

    tick(server.node)

    assert consoles.commands == [("127.0.0.1", 25575, "shutdown")]
    assert not engine.calls("stop")


def test_stop_after_new_passwords_uses_that_of_the_run(
    owner: User, engine: FakeEngine, games: Any, consoles: Consoles
) -> None:
    server = make_server(owner=owner, template=TemplateFactory(stop_kind="rcon", stop_value="stop"))
    settle(server, "running")
    old = server.rcon_password.reveal()
    services.rotate_credentials(server, actor=owner)
    services.stop_server(server, actor=owner)

    tick(server.node)
    engine.kill(server.engine_name)  # as the command does
    settle(server, "stopped")
    services.start_server(server, actor=owner)
    settle(server, "running")

    assert (consoles.passwords, consoles.commands) == ([old], [("127.0.0.1", 25575, "stop")])
    assert server.console_password == server.rcon_password.reveal() != old


@pytest.mark.parametrize(("game", "dialect"), [("minecraft", Dialect.MINECRAFT), ("a2s", Dialect.SOURCE)])
def test_stop_by_rcon_speaks_the_dialect_of_the_game(
    owner: User, engine: FakeEngine, games: Any, consoles: Consoles, game: str, dialect: Dialect
) -> None:
    server = running(owner, readiness_kind=game, stop_kind="rcon", stop_value="stop")

    tick(server.node)

    assert [options["dialect"] for options in consoles.options] == [dialect]


def test_a_console_that_refuses_leads_to_the_signal(
    owner: User, engine: FakeEngine, games: Any, consoles: Consoles
) -> None:
    consoles.error = AuthenticationFailed("Wrong password.")
    server = running(owner, stop_kind="rcon", stop_value="stop")

    settle(server, "stopped")

    assert engine.calls("stop")[0].kwargs == {"signal": "SIGTERM"}


@pytest.mark.parametrize("kind", ["rcon", "econ"])
def test_a_password_that_cannot_be_opened_leads_to_the_signal(
    owner: User, engine: FakeEngine, games: Any, consoles: Consoles, settings: Any, kind: str
) -> None:
    ports = [{"name": "game", "target_port": 8303}, {**RCON, "protocol": kind}]
    server = running(owner, stop_kind=kind, stop_value="stop", ports=ports)
    settings.HUB_KEY_RING = {"other": b"n" * 32}

    settle(server, "stopped")

    assert engine.calls("stop")[0].kwargs == {"signal": "SIGTERM"}
    assert not consoles.commands


def test_an_engine_without_console_leads_to_the_signal(owner: User, engine: FakeEngine, games: Any) -> None:
    server = running(owner, stop_kind="console", stop_value="stop")
    engine.fail("send_input", EngineError("No console.", reason=Reason.REFUSED))

    settle(server, "stopped")

    assert engine.calls("stop")


# --- Logs ---------------------------------------------------------------------------------------------------------


def test_nobody_looks_nothing_is_brought(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    before = len(engine.calls("logs"))

    tick(server.node)

    assert len(engine.calls("logs")) == before
    assert not ServerLog.objects.exists()


def test_a_look_brings_the_output_masked(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    secret = server.rcon_password.reveal()
    engine.write_log(server.engine_name, "hello", f"the password is {secret}")

    first = services.read_log(server, actor=owner)
    tick(server.node)
    second = services.read_log(server, actor=owner)

    assert (first.text, first.captured_at) == ("", None)
    assert second.text == "hello\nthe password is ***\n"
    assert second.captured_at is not None


def test_output_is_brought_at_most_every_moment_and_not_after_the_look(
    owner: User, engine: FakeEngine, games: Any
) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    services.read_log(server, actor=owner)
    tick(server.node)
    before = len(engine.calls("logs"))

    tick(server.node)
    ServerLog.objects.update(captured_at=None, wanted_until=timezone.now() - timedelta(seconds=1))
    tick(server.node)

    assert len(engine.calls("logs")) == before


def test_the_end_of_a_run_is_kept(owner: User, engine: FakeEngine, games: Any) -> None:
    engine.behave(Behaviour(output=("last words",)))
    server = make_server(owner=owner)
    settle(server, "running")
    engine.crash(server.engine_name, code=3)

    settle(server, "crashed")

    assert ServerLog.objects.get().text == "last words\n"


def test_an_engine_that_is_away_costs_only_the_log(owner: User, engine: FakeEngine, games: Any) -> None:
    server = make_server(owner=owner)
    settle(server, "running")
    services.read_log(server, actor=owner)
    engine.fail("logs", EngineError("away", reason=Reason.UNAVAILABLE), times=None)

    tick(server.node)

    assert ServerLog.objects.get().text == ""


def test_logs_are_for_those_who_have_the_console(owner: User, viewer: User, node: Node) -> None:
    with pytest.raises(HubError) as error:
        services.read_log(make_server(owner=owner), actor=viewer)

    assert error.value.status == 403


def test_a_long_log_is_cut_to_whole_lines() -> None:
    text = logs.clip([f"line {n} " + "x" * 100 for n in range(1000)])

    assert len(text.encode()) <= logs.MAX_BYTES
    assert text.startswith("line ")
    assert text.endswith("line 999 " + "x" * 100 + "\n")


def test_a_log_is_text_that_postgresql_takes() -> None:
    assert logs.clip(["a\0b", "\udcff"]) == "ab\n?\n"
