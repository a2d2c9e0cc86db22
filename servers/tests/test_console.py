"""Commands for the console of a server: who may send which, how the agent carries them out, what is told and kept."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory, token_for
from hub.engines.fake import Behaviour, FakeEngine
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound, TooMany
from hub.failpoints import FAILPOINTS
from hub.jobs import node_queue
from hub.nodes.models import Node
from hub.nodes.sweep import tick
from hub.testing import api_client, empty_queues, run_jobs
from servers import consoles, remote, services, variables
from servers.catalogue import sync_catalogue
from servers.models import ConsoleCommand, GameServer, Template
from servers.services import console
from servers.services.state import refusal
from servers.tests.factories import GAME, TemplateFactory, VariableFactory, make_node, make_server
from servers.tests.faults import ending_of, in_child
from servers.tests.machine import engine_of, process_node, settle
from servers.tests.scripted import Peer, tcp_server
from servers.tests.test_protocols_econ import console as econ_console
from servers.tests.test_protocols_econ import let_in, say

pytestmark = pytest.mark.django_db

ECON = {**GAME, "name": "econ", "target_port": 8304, "is_public": False, "protocol": "econ"}
ECON |= {"variable": "ECON_PORT", "password_variable": "ECON_PASSWORD"}
ECON_PASSWORD = "correct-horse-battery"
FRAGMENT = {"HX-Request": "true", "HX-Target": "server-console"}


@pytest.fixture
def while_waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Somebody acts whenever a request rests on its way to an answer."""

    def act(step: Callable[[], object]) -> None:
        clock = SimpleNamespace(sleep=lambda _: step(), monotonic=time.monotonic, time=time.time)
        monkeypatch.setattr(console, "time", clock)

    return act


@pytest.fixture
def stdin_server(owner: User, node: Node, engine: FakeEngine, games: Any) -> GameServer:
    """A server that repeats what it reads on its standard input."""
    template = TemplateFactory(ports=[GAME], stop_kind="console", stop_value="stop")
    VariableFactory(template=template, key="TOKEN", kind="secret")
    server = make_server(owner=owner, node=node, template=template)
    engine.behave(Behaviour(echoes_input=True))
    return settle(server, "running")


def work(node: Node) -> list[str]:
    """What a worker of the node does."""
    return run_jobs(node_queue(node.name))


def late(command: ConsoleCommand, seconds: float = 60) -> None:
    ConsoleCommand.objects.filter(pk=command.pk).update(created_at=timezone.now() - timedelta(seconds=seconds))


def silent_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("servers.querysets.BEGIN_SECONDS", 0.1)


# On the real sample server -------------------------------------------------------------------------------------------


@pytest.fixture
def sample(owner: User) -> Iterator[GameServer]:
    sync_catalogue()
    with process_node() as node:
        server = make_server(owner=owner, node=node, template=Template.objects.get(slug="sample"), name="first light")
        yield settle(server, "running")


def test_sample_server_answers_through_the_api(sample: GameServer, owner: User, while_waiting: Any) -> None:
    while_waiting(lambda: work(sample.node))

    answer = api_client(owner).post(f"/api/v1/servers/{sample.pk}/command", {"text": "echo it is me"}, format="json")

    assert answer.status_code == 200, answer.json()
    assert (answer.json()["kind"], answer.json()["answer"]) == ("rcon", "it is me")
    assert answer["Cache-Control"] == "no-store"


def test_password_in_an_answer_is_masked_and_nothing_of_it_is_stored_in_the_clear(
    sample: GameServer, owner: User
) -> None:
    secret = sample.rcon_password.reveal()

    command = services.send_command(sample, f"echo the password is {secret}!", actor=owner)
    work(sample.node)

    command.refresh_from_db()
    shown = services.latest_commands(sample, actor=owner)[0]
    assert shown.answer == "the password is ***!"
    assert shown.said == "echo the password is ***!"
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(c)::text FROM servers_consolecommand c")
        stored = cursor.fetchone()[0]
    assert secret not in stored
    assert "the password is" not in stored
    assert secret not in str(AuditEntry.objects.get(action="server.command_sent").data)


def test_password_of_the_run_serves_until_a_restart_and_a_refused_one_is_told(
    sample: GameServer, owner: User, while_waiting: Any
) -> None:
    while_waiting(lambda: work(sample.node))
    url, command = f"/api/v1/servers/{sample.pk}/command", {"text": "echo it is me"}
    services.rotate_credentials(sample, actor=owner)
    served = api_client(owner).post(url, command, format="json")

    GameServer.objects.update(running_rcon_password="another")
    answer = api_client(owner).post(url, command, format="json")

    assert (served.status_code, served.json()["answer"]) == (200, "it is me")
    assert (answer.status_code, answer.json()["code"]) == (409, "password_refused")
    assert "Restart it" in answer.json()["detail"]


def test_program_that_has_ended_is_told(sample: GameServer, owner: User, while_waiting: Any) -> None:
    engine_of(sample).kill(sample.engine_name)  # nobody has looked since
    while_waiting(lambda: work(sample.node))

    answer = api_client(owner).post(f"/api/v1/servers/{sample.pk}/command", {"text": "list"}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_running")


def test_lost_job_is_taken_up_by_the_agents_tick(sample: GameServer, owner: User) -> None:
    command = services.send_command(sample, "echo late", actor=owner)
    tick(sample.node)
    command.refresh_from_db()
    assert command.status == "queued", "left to the workers for a moment"
    late(command, 2)

    tick(sample.node)

    command.refresh_from_db()
    assert (command.status, command.answer.reveal()) == ("done", "late")


# By econ, and by a line on standard input ----------------------------------------------------------------------------


@pytest.fixture
def econ_server(owner: User, node: Node, engine: FakeEngine, games: Any) -> GameServer:
    server = make_server(owner=owner, node=node, template=TemplateFactory(ports=[GAME, ECON]))
    server.rcon_password = ECON_PASSWORD
    server.save(update_fields=["rcon_password"])
    return settle(server, "running")


def test_econ_answers(econ_server: GameServer, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with tcp_server(econ_console(status=["id=0 name=Ada", "id=1 name=Tendai"])) as scripted:
        monkeypatch.setattr(remote, "endpoint", lambda *_, **__: (scripted.host, scripted.port))
        command = services.send_command(econ_server, "status", actor=owner)
        work(econ_server.node)

    command.refresh_from_db()
    assert (command.kind, command.answer.reveal()) == ("econ", "id=0 name=Ada\nid=1 name=Tendai")


def test_console_that_closes_before_its_answer_is_told(
    econ_server: GameServer, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closing(peer: Peer) -> None:
        let_in(peer)
        while (line := peer.read_line()) != "shutdown":
            say(peer, f"[10:27:08][Console]: {line.removeprefix('echo ')}")

    with tcp_server(closing) as scripted:
        monkeypatch.setattr(remote, "endpoint", lambda *_, **__: (scripted.host, scripted.port))
        command = services.send_command(econ_server, "shutdown", actor=owner)
        work(econ_server.node)

    command.refresh_from_db()
    assert (command.status, command.error_code) == ("failed", "closed")


def test_console_that_is_silent_ends_in_time(
    econ_server: GameServer, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consoles, "TIMEOUT_SECONDS", 0.2)
    with tcp_server(lambda peer: (peer.read(1), None)[1]) as scripted:
        monkeypatch.setattr(remote, "endpoint", lambda *_, **__: (scripted.host, scripted.port))
        command = services.send_command(econ_server, "status", actor=owner)
        work(econ_server.node)

    command.refresh_from_db()
    assert command.error_code == "no_answer"


def test_standard_input_answers_with_what_is_printed_next(stdin_server: GameServer, owner: User) -> None:
    command = services.send_command(stdin_server, "say hello", actor=owner)
    work(stdin_server.node)

    command.refresh_from_db()
    assert (command.kind, command.answer.reveal()) == ("stdin", "say hello")


def test_secret_setting_in_an_answer_is_masked(stdin_server: GameServer, owner: User) -> None:
    secret = variables.of_server(stdin_server).secret["TOKEN"]

    command = services.send_command(stdin_server, f"token {secret}", actor=owner)
    work(stdin_server.node)

    command.refresh_from_db()
    assert command.answer.reveal() == "token ***"


def test_long_answer_is_cut_and_says_so(stdin_server: GameServer, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles, "ask", lambda *_, **__: "é" * 20_000)
    command = services.send_command(stdin_server, "help", actor=owner)

    work(stdin_server.node)

    command.refresh_from_db()
    assert (len(command.answer.reveal()), command.is_cut) == (consoles.MAX_ANSWER_CHARACTERS, True)


def test_escapes_of_terminals_do_not_come_through(stdin_server: GameServer, engine: FakeEngine) -> None:
    engine.state.workloads[stdin_server.engine_name].lines.append("before")
    engine.behave(Behaviour(echoes_input=True))

    answer = consoles.ask(stdin_server, engine, "\x1b[31mred\x1b[0m", kind="stdin")

    assert answer == "red"


# Who may, when, and what ---------------------------------------------------------------------------------------------


def test_stranger_does_not_learn_that_it_exists(stdin_server: GameServer, stranger: User) -> None:
    with pytest.raises(NotFound):
        services.send_command(stdin_server, "list", actor=stranger)
    with pytest.raises(NotFound):
        services.latest_commands(stdin_server, actor=stranger)


def test_viewer_may_neither_send_nor_read(stdin_server: GameServer, viewer: User) -> None:
    with pytest.raises(NotAllowed):
        services.send_command(stdin_server, "list", actor=viewer)
    with pytest.raises(NotAllowed):
        services.latest_commands(stdin_server, actor=viewer)
    assert not ConsoleCommand.objects.exists()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"observed_status": "stopped", "desired_status": "stopped"}, "only while it runs"),
        ({"observed_status": "starting"}, "only while it runs"),
        ({"observed_status": "stopping", "desired_status": "stopped"}, "only while it runs"),
        ({"desired_status": "deleted"}, "being deleted"),
        ({"admin_state": "restoring"}, "being restored"),
    ],
)
def test_wrong_state_is_refused_with_its_reason(
    stdin_server: GameServer, owner: User, values: dict[str, str], reason: str
) -> None:
    GameServer.objects.filter(pk=stdin_server.pk).update(**values)

    with pytest.raises(Conflict, match=reason):
        services.send_command(stdin_server, "list", actor=owner)


def test_unhealthy_server_still_takes_commands(stdin_server: GameServer) -> None:
    stdin_server.observed_status = "unhealthy"

    assert refusal(stdin_server, "send_command") == ""


def test_template_without_a_console_takes_none(owner: User, node: Node, engine: FakeEngine, games: Any) -> None:
    server = settle(make_server(owner=owner, node=node, template=TemplateFactory(ports=[GAME])), "running")

    with pytest.raises(Conflict, match="have no console"):
        services.send_command(server, "list", actor=owner)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "one\ntwo",
        "one\r",
        "nul\0",
        "\x1b[2J",
        "tab\there",
        "line\u2028two",
        "half\ud800",
        "x" * 4096,
        "é" * 501,
    ],
)
def test_hostile_text_is_refused_before_anything_is_stored(stdin_server: GameServer, owner: User, text: str) -> None:
    with pytest.raises(Invalid) as error:
        services.send_command(stdin_server, text, actor=owner)

    assert error.value.field == "text"
    assert not ConsoleCommand.objects.exists()


def test_text_of_all_the_world_is_sent(stdin_server: GameServer, owner: User) -> None:
    command = services.send_command(stdin_server, "say Mauya 👩\u200d🚀 <b>& 'x'", actor=owner)
    work(stdin_server.node)

    command.refresh_from_db()
    assert command.answer.reveal() == "say Mauya 👩\u200d🚀 <b>& 'x'"


@pytest.mark.parametrize(("text", "word"), [("op Ada", "op"), ("/whitelist add Ada", "/whitelist"), ("Tr0ub4dor", "")])
def test_audit_holds_the_verb_and_not_the_rest(stdin_server: GameServer, owner: User, text: str, word: str) -> None:
    services.send_command(stdin_server, text, actor=owner)

    entry = AuditEntry.objects.get(action="server.command_sent")
    assert (entry.data, entry.actor_name, entry.target_id) == (
        {"kind": "stdin", "word": word},
        "owner",
        str(stdin_server.pk),
    )


def test_few_commands_at_a_time(stdin_server: GameServer, owner: User) -> None:
    for _ in range(console.MAX_OPEN):
        services.send_command(stdin_server, "list", actor=owner)

    with pytest.raises(TooMany, match="has not answered"):
        services.send_command(stdin_server, "list", actor=owner)
    work(stdin_server.node)
    services.send_command(stdin_server, "list", actor=owner)


def test_so_many_a_minute_for_each_person(
    stdin_server: GameServer, owner: User, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "PER_MINUTE", 2)
    monkeypatch.setattr(console, "time", SimpleNamespace(time=lambda: 30_000_030.0))
    for _ in range(2):
        services.send_command(stdin_server, "list", actor=owner)

    with pytest.raises(TooMany) as error:
        services.send_command(stdin_server, "list", actor=owner)
    assert error.value.retry_after == 30
    services.send_command(stdin_server, "list", actor=operator)


# An agent that does not answer ---------------------------------------------------------------------------------------


def test_silent_agent_is_told_and_its_command_is_never_sent(
    stdin_server: GameServer, owner: User, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent_agent(monkeypatch)

    answer = api_client(owner).post(f"/api/v1/servers/{stdin_server.pk}/command", {"text": "list"}, format="json")
    work(stdin_server.node)  # it comes too late

    assert (answer.status_code, answer.json()["code"]) == (503, "agent_silent")
    assert "was not sent" in answer.json()["detail"]
    assert list(engine.state.workloads[stdin_server.engine_name].input) == []


def test_late_agent_finds_nothing_even_before_anybody_has_given_up(
    stdin_server: GameServer, owner: User, engine: FakeEngine
) -> None:
    command = services.send_command(stdin_server, "list", actor=owner)
    late(command)

    work(stdin_server.node)
    tick(stdin_server.node)

    assert list(engine.state.workloads[stdin_server.engine_name].input) == []


def test_command_is_sent_once_however_often_its_job_comes(
    stdin_server: GameServer, owner: User, engine: FakeEngine
) -> None:
    command = services.send_command(stdin_server, "list", actor=owner)

    for _ in range(3):
        services.carry_out(command.pk)

    assert list(engine.state.workloads[stdin_server.engine_name].input) == ["list"]


def test_old_commands_are_forgotten(stdin_server: GameServer, owner: User) -> None:
    old, new = (services.send_command(stdin_server, text, actor=owner) for text in ("old", "new"))
    late(old, 90_000)

    services.forget_commands()

    assert list(ConsoleCommand.objects.all()) == [new]


@pytest.mark.chaos
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", sorted(name for name in FAILPOINTS if name.startswith("console.")))
def test_agent_killed_over_a_command_leaves_a_clear_word_and_sends_nothing_twice(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeEngine.reset()
    empty_queues()
    node = make_node()
    template = TemplateFactory(ports=[GAME], stop_kind="console", stop_value="stop")
    server = make_server(node=node, template=template)
    GameServer.objects.filter(pk=server.pk).update(observed_status="running")
    owner = server.owner
    command = services.send_command(server, "list", actor=owner)
    seen = SimpleNamespace(is_running=True)
    monkeypatch.setattr(FakeEngine, "inspect", lambda *_: seen)
    monkeypatch.setattr(consoles, "_by_input", lambda *_: "")

    ending = ending_of(in_child(lambda: services.carry_out(command.pk), failpoint=point))
    late(command)
    ConsoleCommand.objects.filter(begun_at__isnull=False).update(begun_at=timezone.now() - timedelta(seconds=60))
    services.carry_out(command.pk)

    services.await_answer(command, seconds=0)
    assert ending == -signal.SIGKILL
    assert (command.status, command.error_code) == ("failed", "agent_lost")
    assert "not known" in command.error


# Faces ---------------------------------------------------------------------------------------------------------------


def page(server: GameServer) -> str:
    return reverse("servers:server_console", args=[server.pk])


def test_page_without_script_waits_for_the_answer_and_escapes_it(
    client: Client, stdin_server: GameServer, owner: User, while_waiting: Any
) -> None:
    while_waiting(lambda: work(stdin_server.node))
    client.force_login(owner)

    answer = client.post(page(stdin_server), {"text": "say <script>alert(1)</script>"}, follow=True)

    body = answer.content.decode()
    assert answer.redirect_chain == [(page(stdin_server), 302)]
    assert "<pre>say &lt;script&gt;alert(1)&lt;/script&gt;</pre>" in body
    assert "<script>alert" not in body


def test_fragment_shows_that_it_waits_then_the_answer(client: Client, stdin_server: GameServer, owner: User) -> None:
    client.force_login(owner)

    sent = client.post(page(stdin_server), {"text": "say hi"}, headers=FRAGMENT).content.decode()
    work(stdin_server.node)
    seen = client.get(page(stdin_server), headers=FRAGMENT)
    again = client.get(page(stdin_server), headers={**FRAGMENT, "If-None-Match": seen["ETag"]})

    assert "Waiting for the answer" in sent
    assert "every 1s" in sent
    assert "<html" not in sent
    assert "<pre>say hi</pre>" in seen.content.decode()
    assert "every 10s" in seen.content.decode()
    assert again.status_code == 304


def test_page_says_what_is_wrong_and_keeps_what_was_typed(
    client: Client, stdin_server: GameServer, owner: User
) -> None:
    client.force_login(owner)
    services.stop_server(stdin_server, actor=owner)

    answer = client.post(page(stdin_server), {"text": "say hi"})

    assert answer.status_code == 422
    assert "only while it runs" in answer.content.decode()
    assert 'value="say hi"' in answer.content.decode()


@pytest.mark.parametrize(("who", "status"), [("Viewer", 403), ("Player", 404), ("Operator", 200)])
def test_page_is_for_those_who_may(client: Client, stdin_server: GameServer, who: str, status: int) -> None:
    client.force_login(UserFactory(role=who))

    assert client.get(page(stdin_server)).status_code == status
    if status != 200:
        assert client.post(page(stdin_server), {"text": "list"}).status_code == status


def test_page_of_a_template_without_console_says_so(client: Client, node: Node, owner: User) -> None:
    client.force_login(owner)
    server = make_server(owner=owner, node=node, template=TemplateFactory(ports=[GAME]))

    assert "have no console" in client.get(page(server)).content.decode()


@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("stranger", 404)])
def test_api_is_for_those_who_may(
    stdin_server: GameServer, viewer: User, stranger: User, who: str, status: int
) -> None:
    client = api_client({"viewer": viewer, "stranger": stranger}[who])

    answer = client.post(f"/api/v1/servers/{stdin_server.pk}/command", {"text": "list"}, format="json")

    assert answer.status_code == status
    assert not ConsoleCommand.objects.exists()


def test_api_names_the_field_at_fault(stdin_server: GameServer, owner: User) -> None:
    for text in ("a\nb", "x" * 4096):
        answer = api_client(owner).post(f"/api/v1/servers/{stdin_server.pk}/command", {"text": text}, format="json")
        assert answer.status_code == 400
        assert "text" in str(answer.json()["fields"])


def test_token_without_the_scope_is_refused(stdin_server: GameServer, owner: User) -> None:
    _, plain = token_for(owner, scopes=["servers.control"])

    answer = api_client(plain).post(f"/api/v1/servers/{stdin_server.pk}/command", {"text": "list"}, format="json")

    assert answer.status_code == 403
