import logging
import socket
import struct
import threading
import time
import traceback

import pytest

from hub.testing import free_port
from servers.protocols import AuthenticationFailed, InvalidRequest, Malformed, ProtocolError, TimedOut, Unreachable
from servers.protocols.rcon import MAX_ANSWER_BYTES, PAUSE_SECONDS, Dialect, RconClient
from servers.tests.scripted import Peer, Script, ScriptedServer, rcon_bytes, tcp_server

PASSWORD = "correct-horse-battery"
DIALECTS = list(Dialect)


def client(server: ScriptedServer, dialect: Dialect | str = Dialect.SOURCE, timeout: float = 60.0) -> RconClient:
    return RconClient(server.host, server.port, PASSWORD, timeout=timeout, dialect=dialect)


def source(*pieces: bytes) -> Script:
    """Answer every command with these pieces, and mirror the end mark twice as SRCDS does."""

    def script(peer: Peer) -> None:
        login = peer.read_rcon()
        peer.send_rcon(login.id, 0)
        peer.send_rcon(login.id, 2)
        while True:
            packet = peer.read_rcon()
            if packet.type == 2:
                for piece in pieces:
                    peer.send_rcon(packet.id, 0, piece)
            else:
                peer.send_rcon(packet.id, 0)
                peer.send_rcon(packet.id, 0, b"\0\1\0\0")

    return script


def minecraft(text: str, *, answers_mark: bool = True, pause: float = 0.0) -> Script:
    """Read once per packet and lose what arrived with it; cut the answer at 4096 characters; pause after each."""

    def script(peer: Peer) -> None:
        peer.accept_login()
        while data := peer.connection.recv(1460):
            _, packet_id, packet_type = struct.unpack_from("<iii", data)
            if packet_type == 2:
                rest = text
                while True:
                    peer.send_rcon(packet_id, 0, rest[:4096].encode())
                    rest = rest[4096:]
                    if not rest:
                        break
                time.sleep(pause)
            elif answers_mark:
                peer.send_rcon(packet_id, 0, b"Unknown request 0")

    return script


@pytest.mark.parametrize("dialect", DIALECTS)
def test_plain_command_returns_its_answer(dialect):
    script = source(b"pong") if dialect is Dialect.SOURCE else minecraft("pong")

    with tcp_server(script) as server, client(server, dialect) as rcon:
        answer = rcon.command("ping")

    assert answer == "pong"


def test_command_without_output_returns_empty_text():
    with tcp_server(source(b"")) as server, client(server) as rcon:
        assert rcon.command("quiet") == ""


def test_empty_packet_before_the_login_answer_is_skipped():
    with tcp_server(source(b"pong")) as server, client(server) as rcon:
        assert rcon.command("ping") == "pong"


def test_bytes_arriving_one_by_one_are_put_together():
    def script(peer: Peer) -> None:
        login = peer.read_rcon()
        drip(peer, rcon_bytes(login.id, 0) + rcon_bytes(login.id, 2))
        command, mark = peer.read_rcon(), peer.read_rcon()
        drip(peer, rcon_bytes(command.id, 0, b"in pieces") + rcon_bytes(mark.id, 0))

    def drip(peer: Peer, data: bytes) -> None:
        for byte in data:
            peer.send(bytes([byte]))
            time.sleep(0.001)

    with tcp_server(script) as server, client(server) as rcon:
        assert rcon.command("ping") == "in pieces"


@pytest.mark.parametrize(
    ("dialect", "length"),
    [(dialect, length) for dialect in DIALECTS for length in (4085, 4086, 4095, 4096, 4097, 8192, 10_000)],
)
def test_long_answers_arrive_whole(dialect, length):
    text = "".join(chr(97 + position % 26) for position in range(length))
    pieces = [text[start : start + 4096].encode() for start in range(0, length, 4096)]
    script = source(*pieces) if dialect is Dialect.SOURCE else minecraft(text)

    with tcp_server(script) as server, client(server, dialect) as rcon:
        first = rcon.command("long")
        second = rcon.command("again")

    assert first == text
    assert second == text


def test_pieces_of_characters_of_several_bytes_are_put_together():
    text = "é€" * 3000

    with tcp_server(minecraft(text)) as server, client(server, "minecraft") as rcon:
        assert rcon.command("long") == text


def test_a_character_cut_between_two_pieces_survives():
    raw = ("x" * 4095 + "é").encode()

    with tcp_server(source(raw[:4096], raw[4096:])) as server, client(server) as rcon:
        assert rcon.command("long").endswith("é")


def test_full_minecraft_piece_without_mirrored_mark_is_the_whole_answer():
    text = "x" * 4096

    with tcp_server(minecraft(text, answers_mark=False)) as server, client(server, "minecraft") as rcon:
        first = rcon.command("exact")
        second = rcon.command("again")

    assert first == second == text
    assert server.connections == 2


def test_minecraft_server_that_is_slow_to_read_the_mark_still_gets_the_next_command():
    with tcp_server(minecraft("x" * 5000, pause=0.05)) as server, client(server, "minecraft") as rcon:
        assert [len(rcon.command("long")) for _ in range(3)] == [5000] * 3


def test_full_minecraft_piece_at_the_deadline_is_not_taken_for_the_whole_answer():
    with (
        tcp_server(minecraft("x" * 4096, answers_mark=False)) as server,
        client(server, "minecraft", timeout=0.3) as rcon,
        pytest.raises(TimedOut),
    ):
        rcon.command("long")


def test_minecraft_commands_are_never_sent_back_to_back():
    arrivals = []

    def script(peer: Peer) -> None:
        peer.accept_login()
        arrivals.append(time.monotonic())
        while True:
            packet = peer.read_rcon()
            arrivals.append(time.monotonic())
            peer.send_rcon(packet.id, 0, b"ok")

    with tcp_server(script) as server, client(server, "minecraft") as rcon:
        for _ in range(5):
            rcon.command("fast")

    assert len(arrivals) == 6
    assert arrivals[-1] - arrivals[0] >= 4 * PAUSE_SECONDS


def test_source_server_that_drops_the_end_mark_is_a_timeout_not_a_wrong_answer():
    with (
        tcp_server(minecraft("cut", answers_mark=False)) as server,
        client(server, "source", timeout=0.4) as rcon,
        pytest.raises(TimedOut),
    ):
        rcon.command("ping")


def test_byte_that_is_not_utf8_is_replaced():
    with tcp_server(source(b"caf\xe9 \xff")) as server, client(server) as rcon:
        assert rcon.command("list") == "caf\ufffd \ufffd"


@pytest.mark.parametrize(
    "raw",
    [
        "§aThere are §l3§r players".encode(),
        b"\xa7aThere are \xa7l3\xa7r players",
        b"\x1b[32mThere are 3\x1b[0m players",
    ],
)
def test_colour_codes_are_stripped(raw):
    with tcp_server(source(raw)) as server, client(server) as rcon:
        assert rcon.command("list") == "There are 3 players"


def test_letters_that_contain_the_section_sign_byte_survive():
    with tcp_server(source("garçon à".encode())) as server, client(server) as rcon:
        assert rcon.command("list") == "garçon à"


def test_characters_that_cannot_be_stored_are_removed():
    with tcp_server(source(b"a\0b\x07c\r\nd\te")) as server, client(server) as rcon:
        assert rcon.command("list") == "abc\nd\te"


def test_no_answer_ends_at_the_deadline_of_the_command():
    def script(peer: Peer) -> None:
        peer.accept_login()
        peer.wait_for_close()

    with tcp_server(script) as server, client(server) as rcon:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            rcon.command("hang", timeout=0.3)

    assert 0.25 < time.monotonic() - started < 20


def test_dripping_server_does_not_extend_the_deadline():
    def script(peer: Peer) -> None:
        peer.accept_login()
        peer.read_rcon()
        for byte in rcon_bytes(2, 0, b"x" * 500):
            peer.send(bytes([byte]))
            time.sleep(0.05)

    with tcp_server(script) as server, client(server) as rcon:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            rcon.command("slow", timeout=0.4)

    assert time.monotonic() - started < 20


@pytest.mark.parametrize("dialect", DIALECTS)
def test_command_after_a_timeout_gets_its_own_answer(dialect):
    def script(peer: Peer) -> None:
        peer.accept_login()
        while True:
            packet = peer.read_rcon()
            if packet.body == b"slow":
                time.sleep(0.4)
            peer.send_rcon(packet.id, 0, packet.body and b"answer to " + packet.body)

    with tcp_server(script) as server, client(server, dialect) as rcon:
        with pytest.raises(TimedOut):
            rcon.command("slow", timeout=0.2)
        answer = rcon.command("fast")

    assert answer == "answer to fast"
    assert server.connections == 2


@pytest.mark.parametrize("empty_packet_first", [True, False])
def test_wrong_password_is_its_own_error_and_is_never_tried_again(empty_packet_first):
    def script(peer: Peer) -> None:
        login = peer.read_rcon()
        if empty_packet_first:
            peer.send_rcon(login.id, 0)
        peer.send_rcon(-1, 2)
        peer.wait_for_close()

    with tcp_server(script) as server:
        rcon = client(server)
        for _ in range(3):
            with pytest.raises(AuthenticationFailed):
                rcon.command("list")

    assert server.connections == 1


@pytest.mark.parametrize("size", [-1, -(2**31), 0, 9, 65537, 2**31 - 1])
def test_impossible_size_is_refused_at_once(size):
    def script(peer: Peer) -> None:
        peer.accept_login()
        peer.read_rcon()
        peer.send(struct.pack("<i", size) + b"\0" * 64)
        peer.wait_for_close()

    with tcp_server(script) as server, client(server) as rcon:
        started = time.monotonic()
        with pytest.raises(Malformed):
            rcon.command("list")

    assert time.monotonic() - started < 20


def test_endless_answer_is_cut_off():
    sent = []

    def script(peer: Peer) -> None:
        peer.accept_login()
        command = peer.read_rcon()
        while True:
            peer.send_rcon(command.id, 0, b"x" * 4096)
            sent.append(4096)

    with tcp_server(script) as server, client(server, timeout=10) as rcon, pytest.raises(Malformed):
        rcon.command("list")

    assert sum(sent) < 64 * MAX_ANSWER_BYTES  # what the sockets of both ends hold comes on top


@pytest.mark.parametrize("stray_id", [0, 777])
def test_flood_of_packets_that_answer_nothing_is_refused(stray_id):
    def script(peer: Peer) -> None:
        peer.accept_login()
        command = peer.read_rcon()
        while True:
            peer.send_rcon(stray_id or command.id, 0)

    with tcp_server(script) as server, client(server) as rcon, pytest.raises(Malformed):
        rcon.command("list")


def test_program_that_is_no_rcon_server_is_refused():
    with (
        tcp_server(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        pytest.raises(Malformed),
        client(server),
    ):
        pass


def test_server_that_hangs_up_is_unreachable_and_the_next_command_connects_again():
    def script(peer: Peer) -> None:
        peer.accept_login()
        if peer.number == 1:
            return
        source_answer(peer)

    def source_answer(peer: Peer) -> None:
        command, mark = peer.read_rcon(), peer.read_rcon()
        peer.send_rcon(command.id, 0, b"back")
        peer.send_rcon(mark.id, 0)

    with tcp_server(script) as server, client(server) as rcon:
        with pytest.raises(Unreachable):
            rcon.command("list")
        assert rcon.command("list") == "back"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_command_that_ends_the_server_may_lose_its_answer(dialect):
    def script(peer: Peer) -> None:
        peer.accept_login()
        peer.read_rcon()

    with tcp_server(script) as server, client(server, dialect) as rcon:
        assert rcon.command("stop", may_close=True) == ""


def test_closed_port_is_unreachable():
    with pytest.raises(Unreachable, match="refused"):
        RconClient("127.0.0.1", free_port(), PASSWORD).command("list")


@pytest.mark.parametrize("command", ["say a\nstop", "a\rb", "a\0b", "", "   ", "\ud800", "x" * 4087])
def test_command_that_is_not_one_line_is_never_sent(command):
    with tcp_server(source(b"ok")) as server, client(server) as rcon, pytest.raises(InvalidRequest):
        rcon.command(command)


def test_minecraft_request_is_limited_to_one_read():
    with tcp_server(minecraft("ok")) as server, client(server, "minecraft") as rcon:
        assert rcon.command("x" * 1446) == "ok"
        with pytest.raises(InvalidRequest):
            rcon.command("x" * 1447)


@pytest.mark.parametrize("password", ["", "two\nlines", "x" * 5000])
def test_password_that_cannot_be_sent_is_refused_without_a_word_of_it(password):
    with tcp_server(source()) as server, pytest.raises(InvalidRequest) as caught:
        RconClient(server.host, server.port, password).connect()

    assert not password or password not in "".join(traceback.format_exception(caught.value))


def test_unknown_dialect_is_refused():
    with pytest.raises(InvalidRequest):
        RconClient("127.0.0.1", 1, PASSWORD, dialect="quake")


def test_password_appears_in_no_text(caplog):
    caplog.set_level(logging.DEBUG)
    texts = []

    def refuse(peer: Peer) -> None:
        peer.send_rcon(peer.read_rcon().id - 2, 2)

    scripts: list[Script] = [refuse, lambda peer: None, lambda peer: peer.send(b"\xff" * 40), source(b"ok")]
    for script in scripts:
        with tcp_server(script) as server:
            rcon = client(server, timeout=0.5)
            texts += [repr(rcon), str(rcon)]
            try:
                texts.append(rcon.command("list"))
            except ProtocolError as error:
                texts += [*traceback.format_exception(error), repr(error)]

    assert len(texts) > len(scripts) * 2
    assert not [text for text in [*texts, caplog.text] if PASSWORD in text]


def test_ipv6_server_is_reached():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback; start it with net.ipv6.conf.lo.disable_ipv6=0")

    with tcp_server(source(b"six"), host="::1") as server, client(server) as rcon:
        assert rcon.command("list") == "six"


def test_threads_that_share_a_client_get_their_own_answers():
    def script(peer: Peer) -> None:
        peer.accept_login()
        while True:
            packet = peer.read_rcon()
            peer.send_rcon(packet.id, 0, packet.body)

    answers: dict[str, str] = {}

    with tcp_server(script) as server, client(server) as rcon:

        def ask(name: str) -> None:
            answers[name] = rcon.command(name)

        threads = [threading.Thread(target=ask, args=(f"thread-{number}",)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert answers == {f"thread-{number}": f"thread-{number}" for number in range(20)}
    assert server.connections == 1


def test_waiting_for_another_command_counts_towards_the_deadline():
    is_running, is_over = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.accept_login()
        peer.read_rcon()
        is_running.set()
        is_over.wait(60)

    def hang() -> None:
        with pytest.raises(ProtocolError):
            rcon.command("slow")

    with tcp_server(script) as server, client(server) as rcon:
        slow = threading.Thread(target=hang)
        slow.start()
        assert is_running.wait(60)
        with pytest.raises(TimedOut, match="still running"):
            rcon.command("other", timeout=0.2)
        is_over.set()
        slow.join()
