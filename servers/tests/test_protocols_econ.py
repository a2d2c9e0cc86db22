import time
import traceback

import pytest

from hub.testing import free_port
from servers.protocols import AuthenticationFailed, InvalidRequest, Malformed, TimedOut, Unreachable
from servers.protocols.econ import EconClient, strip_prefix
from servers.tests.scripted import Peer, Script, ScriptedServer, tcp_server

PASSWORD = "correct-horse-battery"


def client(server: ScriptedServer, timeout: float = 60.0) -> EconClient:
    return EconClient(server.host, server.port, PASSWORD, timeout=timeout)


def say(peer: Peer, line: str) -> None:
    peer.send(line.encode() + b"\n\0\0")


def let_in(peer: Peer) -> None:
    say(peer, "Enter password:")
    if peer.read_line() != PASSWORD:
        say(peer, "Wrong password 1/3.")
        raise EOFError
    say(peer, "Authentication successful. External console access granted.")
    say(peer, "[10:27:07][econ]: cid=0 authed")


def console(**answers: list[str]) -> Script:
    """Repeat each command and answer it, as teeworlds-server 0.7.5 does."""

    def script(peer: Peer) -> None:
        let_in(peer)
        while True:
            line = peer.read_line()
            if not line:
                continue
            say(peer, f"[10:27:07][server]: cid=0 cmd='{line}'")
            verb, _, rest = line.partition(" ")
            for answer in [rest] if verb == "echo" else answers.get(verb, [f"No such command: {verb}."]):
                say(peer, f"[10:27:08][Console]: {answer}")

    return script


def test_answer_has_neither_our_own_command_nor_the_greeting():
    with tcp_server(console(status=["id=0 addr=127.0.0.1", "id=1 addr=127.0.0.2"])) as server, client(server) as econ:
        assert econ.command("status") == "id=0 addr=127.0.0.1\nid=1 addr=127.0.0.2"


def test_commands_follow_each_other_on_one_connection():
    with tcp_server(console(status=[])) as server, client(server) as econ:
        answers = [econ.command("status"), econ.command("nonsense"), econ.command("echo hello")]

    assert answers == ["", "No such command: nonsense.", "hello"]


def test_lines_of_other_events_do_not_end_the_answer():
    def script(peer: Peer) -> None:
        let_in(peer)
        peer.read_line()
        mark = peer.read_line().removeprefix("echo ")
        say(peer, f"[10:27:08][Console]: {mark}")
        peer.read_line()
        mark = peer.read_line().removeprefix("echo ")
        say(peer, "[10:27:08][chat]: 0:-2:nameless tee: echo end-0000000000000000")
        say(peer, f"[10:27:08][server]: cid=0 cmd='echo {mark}'")
        say(peer, "[10:27:08][Console]: done")
        say(peer, f"[2026-11-21 10:27:08][Console]: {mark}")

    with tcp_server(script) as server, client(server) as econ:
        answer = econ.command("status")

    assert answer == "0:-2:nameless tee: echo end-0000000000000000\ndone"


def test_wrong_password_is_its_own_error():
    wrong = PASSWORD[::-1]

    with tcp_server(console()) as server, pytest.raises(AuthenticationFailed) as caught:
        EconClient(server.host, server.port, wrong).connect()

    assert server.connections == 1
    assert wrong not in "".join(traceback.format_exception(caught.value))


def test_banned_address_is_told_so():
    with (
        tcp_server(lambda peer: say(peer, "You are banned for 5 minutes")) as server,
        pytest.raises(AuthenticationFailed),
    ):
        client(server).connect()


def test_command_that_ends_the_server_may_close_the_connection():
    def script(peer: Peer) -> None:
        let_in(peer)
        peer.read_line()
        mark = peer.read_line().removeprefix("echo ")
        say(peer, f"[10:27:08][Console]: {mark}")
        peer.read_line()
        say(peer, "[10:27:08][server]: cid=0 cmd='shutdown'")

    with tcp_server(script) as server, client(server) as econ:
        assert econ.command("shutdown", may_close=True) == ""


def test_silent_server_is_a_timeout_and_the_connection_is_not_used_again():
    def script(peer: Peer) -> None:
        let_in(peer)
        peer.read_line()
        say(peer, peer.read_line().removeprefix("echo "))
        peer.wait_for_close()

    with tcp_server(script) as server, client(server) as econ:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            econ.command("status", timeout=0.3)
        assert time.monotonic() - started < 20
        with pytest.raises(Unreachable):
            econ.command("status")


@pytest.mark.parametrize("flood", [b"x" * 20_000, b"line\n" * 20_000])
def test_flood_instead_of_a_greeting_is_refused(flood):
    with tcp_server(lambda peer: peer.send(flood)) as server, pytest.raises(Malformed):
        client(server).connect()


def test_endless_answer_is_cut_off():
    def script(peer: Peer) -> None:
        let_in(peer)
        peer.read_line()
        say(peer, peer.read_line().removeprefix("echo "))
        while True:
            peer.send(b"[10:27:08][Console]: more\n\0\0" * 100)

    with tcp_server(script) as server, client(server, timeout=10) as econ, pytest.raises(Malformed):
        econ.command("status")


@pytest.mark.parametrize("command", ["say a\nshutdown", "", "a\0b", "x" * 1001])
def test_command_that_is_not_one_short_line_is_never_sent(command):
    with tcp_server(console()) as server, client(server) as econ, pytest.raises(InvalidRequest):
        econ.command(command)


def test_password_of_two_lines_is_never_sent():
    with pytest.raises(InvalidRequest):
        EconClient("127.0.0.1", 1, "two\nlines").connect()


def test_closed_port_is_unreachable():
    with pytest.raises(Unreachable):
        EconClient("127.0.0.1", free_port(), PASSWORD).connect()


def test_password_is_not_in_the_representation():
    assert PASSWORD not in repr(EconClient("127.0.0.1", 1, PASSWORD))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[10:27:07][Console]: hello", "hello"),
        ("[2026-11-21 10:27:07][engine/mastersrv]: hello", "hello"),
        ("hello [10:27:07][Console]: x", "hello [10:27:07][Console]: x"),
    ],
)
def test_prefix_of_console_lines_is_stripped(line, message):
    assert strip_prefix(line) == message
