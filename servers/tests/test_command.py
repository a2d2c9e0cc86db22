"""`manage.py server`: the services from a shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.actors import SYSTEM
from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory
from hub.engines.fake import FakeEngine
from hub.exceptions import Invalid, NotFound
from hub.nodes.choices import ObservedStatus, OperationStatus
from hub.nodes.models import Node
from hub.nodes.operations import mark
from hub.nodes.reconcile import reconcile
from hub.testing import replace_sleep
from servers import terminal
from servers.models import GameServer, ServerLog
from servers.terminal import find_server, table

from .factories import TemplateFactory, VariableFactory, make_server

pytestmark = pytest.mark.django_db


class Shell:
    """Runs the command and keeps what it said."""

    def __call__(self, *words: Any) -> str:
        self.out, self.err = StringIO(), StringIO()
        call_command("server", *map(str, words), stdout=self.out, stderr=self.err, no_color=True)
        return self.out.getvalue()

    def fails(self, *words: Any) -> CommandError:
        with pytest.raises(CommandError) as error:
            self(*words)
        return error.value

    def json(self, *words: Any) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture
def server(node: Node, owner: User) -> GameServer:
    return make_server(owner=owner, node=node, name="survival", template=TemplateFactory(slug="sample"))


@pytest.fixture
def agent(engine: FakeEngine, games: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The node's agent takes a step whenever the command rests."""

    def step(seconds: float) -> None:
        for server in GameServer.objects.alive():
            reconcile(GameServer, server.pk)

    replace_sleep(monkeypatch, terminal, step)
    return step


def test_list_is_a_table(shell: Shell, server: GameServer) -> None:
    head, row = shell("list").splitlines()

    assert head.split() == ["ID", "NAME", "OWNER", "STATUS", "ADDRESS", "TEMPLATE", "NODE"]
    assert row.split() == [
        str(server.pk),
        "survival",
        "owner",
        "queued",
        str(server.address),
        "sample",
        server.node.name,
    ]


def test_list_is_narrowed(shell: Shell, server: GameServer) -> None:
    make_server(node=server.node, name="other")

    assert [row["name"] for row in shell.json("list", "-q", "surv")] == ["survival"]
    assert [row["name"] for row in shell.json("list", "--owner", "OWNER", "--status", "queued")] == ["survival"]
    assert shell.json("list", "--status", "running") == []
    assert len(shell.json("list", "--limit", 1)) == 1


def test_json_is_that_of_the_api(shell: Shell, server: GameServer) -> None:
    shown = shell.json("show", "survival")

    assert (shown["id"], shown["template"]["slug"], shown["address"]) == (str(server.pk), "sample", str(server.address))


def test_show_lists_all_facts(shell: Shell, server: GameServer) -> None:
    lines = dict(line.split(maxsplit=1) for line in shell("show", "survival").splitlines())

    assert (lines["name"], lines["template"], lines["memory_mb"]) == ("survival", "sample", "1024")


def test_server_is_found_by_name_owner_or_beginning_of_its_id(server: GameServer) -> None:
    for text in ("survival", "SURVIVAL", "owner/survival", str(server.pk), str(server.pk)[:8]):
        assert find_server(text, actor=SYSTEM).pk == server.pk


def test_two_of_a_name_must_be_told_apart(server: GameServer, stranger: User) -> None:
    make_server(owner=stranger, node=server.node, name="survival")

    with pytest.raises(Invalid, match=r"owner/survival .*stranger/survival|stranger/survival .*owner/survival"):
        find_server("survival", actor=SYSTEM)
    assert find_server("owner/survival", actor=SYSTEM).pk == server.pk


@pytest.mark.parametrize("text", ["nothing", "", "0", "ffffffff", "/", "a/b/c"])
def test_what_is_not_there_is_said(server: GameServer, text: str) -> None:
    with pytest.raises(NotFound):
        find_server(text, actor=SYSTEM)


def test_server_is_created_and_awaited(shell: Shell, node: Node, owner: User, agent: Callable[[float], None]) -> None:
    template = TemplateFactory(slug="sample")
    VariableFactory(template=template, key="MOTD")
    words = (
        "create",
        "survival",
        "--template",
        "sample",
        "--owner",
        "owner",
        "--memory-mb",
        1536,
        "--set",
        "MOTD=Hi = ho",
        "--publish",
        "rcon",
    )

    row = shell(*words, "--wait").splitlines()[1]

    server = GameServer.objects.get()
    assert "running" in row
    assert (server.memory_mb, server.values, server.owner) == (1536, {"MOTD": "Hi = ho"}, owner)
    assert server.published_ports == ["rcon"]
    assert shell.err.getvalue().splitlines()[0].startswith("survival: queued")
    assert shell.err.getvalue().splitlines()[-1].startswith("survival: running")


def test_powers_reach_several_servers(shell: Shell, server: GameServer, agent: Callable[[float], None]) -> None:
    make_server(node=server.node, name="creative")

    shell("stop", "survival", "creative", "--wait")

    assert set(GameServer.objects.values_list("observed_status", flat=True)) == {"stopped"}


def test_hub_itself_acts_unless_told(shell: Shell, server: GameServer) -> None:
    shell("stop", "survival")
    shell("start", "survival", "--as", "owner")

    entries = AuditEntry.objects.filter(action__in=["server.stopped", "server.started"]).order_by("id")
    assert [(entry.actor_name, entry.via) for entry in entries] == [("system", "command"), ("owner", "command")]


def test_stranger_finds_nothing(shell: Shell, server: GameServer, stranger: User) -> None:
    error = shell.fails("stop", "survival", "--as", "stranger")

    assert (str(error), error.returncode) == ("There is no server survival.", 1)
    assert shell.json("list", "--as", "stranger") == []


def test_viewer_may_look_only(shell: Shell, server: GameServer, viewer: User) -> None:
    assert shell.json("show", "survival", "--as", "viewer")["name"] == "survival"
    assert shell.fails("stop", "survival", "--as", "viewer").returncode == 1


def test_account_that_is_closed_cannot_act(shell: Shell, server: GameServer) -> None:
    UserFactory(username="gone", is_active=False)

    assert "closed or suspended" in str(shell.fails("list", "--as", "gone"))


def test_refusal_of_one_does_not_keep_the_others(shell: Shell, server: GameServer, admin: User) -> None:
    other = make_server(node=server.node, name="creative")
    GameServer.objects.filter(pk=server.pk).update(admin_state="suspended")

    error = shell.fails("restart", "survival", "creative")

    assert error.returncode == 1
    assert "survival: It is suspended" in shell.err.getvalue()
    assert other.name in shell.out.getvalue()


def test_all_are_found_before_any_is_touched(shell: Shell, server: GameServer) -> None:
    shell.fails("stop", "survival", "nothing")

    server.refresh_from_db()
    assert server.desired_status == "running"


def test_deleting_wants_a_word(shell: Shell, server: GameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--yes" in str(shell.fails("delete", "survival"))

    shell("delete", "survival", "--yes")

    server.refresh_from_db()
    assert server.desired_status == "deleted"


@pytest.mark.parametrize(("typed", "desired"), [("no", "running"), ("yes", "deleted")])
def test_person_is_asked_before_a_deletion(
    shell: Shell, server: GameServer, monkeypatch: pytest.MonkeyPatch, typed: str, desired: str
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: typed)

    if typed == "yes":
        shell("delete", "survival")
    else:
        shell.fails("delete", "survival")

    server.refresh_from_db()
    assert server.desired_status == desired


def test_waiting_too_long_has_its_own_code(shell: Shell, server: GameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_sleep(monkeypatch, terminal, lambda seconds: None)

    error = shell.fails("restart", "survival", "--wait", "--timeout", "0.05")

    assert error.returncode == 3
    assert "still queued" in shell.err.getvalue()


def test_bad_end_is_told(shell: Shell, server: GameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seconds: float) -> None:
        server.refresh_from_db()
        GameServer.objects.filter(pk=server.pk).update(observed_status=ObservedStatus.FAILED, status_reason="No image.")
        mark(server, OperationStatus.FAILED, error="No image.")

    replace_sleep(monkeypatch, terminal, fail)

    assert shell.fails("restart", "survival", "--wait").returncode == 1
    assert "survival: No image." in shell.err.getvalue()


def test_log_has_the_last_lines(shell: Shell, server: GameServer) -> None:
    ServerLog.objects.keep(server, "one\ntwo\nthree")

    assert shell("log", "survival", "-n", 2) == "two\nthree\n"
    assert shell.json("log", "survival")["text"] == "one\ntwo\nthree"


def test_log_without_output_says_so(shell: Shell, server: GameServer) -> None:
    assert shell("log", "survival") == ""
    assert "no output yet" in shell.err.getvalue()


def test_operations_are_listed(shell: Shell, server: GameServer) -> None:
    shell("stop", "survival")

    lines = shell("operations", "survival").splitlines()

    assert [line.split()[2] for line in lines[1:]] == ["stop", "create"]
    assert [row["verb"] for row in shell.json("operations", "survival", "--limit", 1)] == ["stop"]


@pytest.mark.parametrize("words", [["list"], ["operations", "survival"]])
@pytest.mark.parametrize("limit", ["-1", "0", "many", "9" * 30])
def test_limit_that_is_no_count_is_wrong_usage(
    shell: Shell, server: GameServer, capsys: pytest.CaptureFixture[str], words: list[str], limit: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        shell(*words, "--limit", limit)

    assert ended.value.code == 2
    assert f"{limit} is not a whole number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["create", "a server", "--template", "sample"], "--owner"),
        (["create", "a server", "--template", "none", "--owner", "owner"], "no template none"),
        (["create", "a server", "--template", "sample", "--owner", "owner", "--region", "moon"], "no region moon"),
        (["create", "a server", "--template", "sample", "--owner", "nobody"], "no user nobody"),
        (["create", "a server", "--template", "sample", "--owner", "owner", "--set", "MOTD"], "KEY=VALUE"),
        (["create", "survival", "--template", "sample", "--owner", "owner"], "of this name already"),
    ],
)
def test_creation_says_what_is_wrong(shell: Shell, server: GameServer, words: list[str], sentence: str) -> None:
    assert sentence in str(shell.fails(*words))


def test_table_keeps_strange_letters_out_of_the_terminal() -> None:
    assert table(("A", "B"), [("x\x1b[31m", None), ("", 5)]) == "A       B\nx [31m  -\n-       5"
