import json
import struct
import subprocess
import sys
import time

import pytest

from hub.testing import free_port, wait_until
from servers.protocols import KINDS, InvalidRequest, Malformed, TimedOut, Unreachable, query
from servers.protocols.minecraft import LARGEST_ANSWER, encode_varint
from servers.protocols.status import GameStatus, clean_text, player_count, short_text
from servers.tests.scripted import Peer, Script, tcp_server, udp_server

UDP_KINDS = ["a2s", "teeworlds", "minetest"]
TCP_KINDS = ["minecraft", "tcp"]
GOODBYE = b"\x4f\x45\x74\x03\x00\x07\x00\x00\x03"


def list_entry(**changes: object) -> dict[str, object]:
    return {
        "version": {"name": "1.21.4", "protocol": 769},
        "players": {"online": 3, "max": 20},
        "description": {"text": "A ", "extra": [{"text": "§anice", "bold": True}, " place"]},
    } | changes


def list_answer(entry: object) -> bytes:
    text = entry if isinstance(entry, bytes) else json.dumps(entry).encode()
    body = b"\0" + encode_varint(len(text)) + text
    return encode_varint(len(body)) + body


def list_server(answer: bytes, delay: float = 0.0, piece: int = 0) -> Script:
    def script(peer: Peer) -> None:
        peer.read(peer.read(1)[0] + 2)
        step = piece or len(answer)
        for start in range(0, len(answer), step):
            time.sleep(delay)
            peer.send(answer[start : start + step])
        peer.wait_for_close()

    return script


def a2s_info(players: int = 5) -> bytes:
    info = b"\xff\xff\xff\xffI\x11Zone 1\0de_dust2\0cstrike\0Counter-Strike\0" + struct.pack("<H", 240)
    return info + bytes([players, 32, 0]) + b"dl\0\x01" + b"1.0.0.70\0\0"


def test_minecraft_entry_is_read():
    with tcp_server(list_server(list_answer(list_entry()))) as server:
        status = query("minecraft", server.host, server.port)

    assert (status.players, status.max_players, status.version) == (3, 20, "1.21.4")
    assert status.detail == "A nice place"
    assert 0 < status.latency_ms < 2000


def test_minecraft_answer_in_pieces_is_put_together():
    with tcp_server(list_server(list_answer(list_entry()), delay=0.002, piece=3)) as server:
        assert query("minecraft", server.host, server.port).players == 3


def test_minecraft_handshake_names_host_port_and_state():
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.read(peer.read(1)[0]))
        seen.append(peer.read(2))
        peer.send(list_answer(list_entry()))

    with tcp_server(script) as server:
        query("minecraft", server.host, server.port)

    port = struct.pack(">H", server.port)
    assert seen == [b"\0\xff\xff\xff\xff\x0f\x09127.0.0.1" + port + b"\x01", b"\x01\x00"]


def test_dripping_minecraft_server_does_not_extend_the_deadline():
    with tcp_server(list_server(list_answer(list_entry()), delay=0.2, piece=1)) as server:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            query("minecraft", server.host, server.port, timeout=0.4)

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "answer",
    [
        encode_varint(2**31 - 1) + b"x" * 100,
        encode_varint(LARGEST_ANSWER + 1),
        encode_varint(0),
        b"\xff" * 20,
        b"SSH-2.0-OpenSSH_9.2\r\n" * 9,
        list_answer(b"not json"),
        list_answer(b"\xff\xfe"),
        list_answer(b"[" * 100_000),
        list_answer([]),
        list_answer({"players": {}}),
        list_answer(list_entry(description=[["a"]])),
        b"\x03\x05\x01a",
        b"\x03\x00\x7fa",
    ],
)
def test_minecraft_answer_that_is_none_is_refused(answer):
    with tcp_server(list_server(answer)) as server, pytest.raises(Malformed):
        query("minecraft", server.host, server.port, timeout=5)


def test_texts_of_a_hostile_list_entry_are_bounded_and_storable():
    entry = list_entry(
        version={"name": "\x00v" * 5000, "protocol": -1},
        players={"online": -7, "max": 10**12},
        description="§c\x1b[2J\ud800\u202ered " + "x" * 10_000,
    )

    with tcp_server(list_server(list_answer(entry))) as server:
        status = query("minecraft", server.host, server.port)

    assert (status.players, status.max_players) == (None, None)
    assert len(status.version) == 200
    assert status.detail.startswith("red xxx")
    assert len(status.detail) == 200
    (status.version + status.detail).encode()


def test_a2s_info_is_read():
    with udp_server(lambda _: [a2s_info()]) as server:
        status = query("a2s", server.host, server.port)

    assert (status.players, status.max_players, status.version) == (5, 32, "1.0.0.70")
    assert status.detail == "Zone 1, map de_dust2, Counter-Strike"
    assert 0 < status.latency_ms < 2000


def test_a2s_challenge_is_answered():
    questions: list[bytes] = []

    def answer(datagram: bytes) -> list[bytes]:
        questions.append(datagram)
        return [a2s_info()] if datagram.endswith(b"\0abcd") else [b"\xff\xff\xff\xffAabcd"]

    with udp_server(answer) as server:
        status = query("a2s", server.host, server.port)

    assert status.players == 5
    assert [len(question) for question in questions] == [25, 29]


def test_a2s_server_that_keeps_challenging_is_refused():
    with udp_server(lambda _: [b"\xff\xff\xff\xffAabcd"]) as server, pytest.raises(Malformed):
        query("a2s", server.host, server.port)


@pytest.mark.parametrize("garbage", [b"", b"x", b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff" + b"\0" * 50, a2s_info()[:-9]])
def test_garbage_before_the_right_answer_is_ignored(garbage):
    with udp_server(lambda _: [garbage, a2s_info()]) as server:
        assert query("a2s", server.host, server.port).players == 5


def test_lost_question_is_asked_again():
    asked: list[bytes] = []

    def answer(datagram: bytes) -> list[bytes]:
        asked.append(datagram)
        return [a2s_info()] if len(asked) == 2 else []

    with udp_server(answer) as server:
        assert query("a2s", server.host, server.port).players == 5


@pytest.mark.parametrize("kind", UDP_KINDS)
def test_flood_of_garbage_is_refused_before_the_deadline(kind):
    garbage = b"\x04\x00\x00"

    def answer(datagram: bytes) -> list[bytes]:
        token = datagram[8:12]
        return [garbage + token + b"\x07" + bytes(8)] * 100

    with udp_server(answer) as server:
        started = time.monotonic()
        with pytest.raises(Malformed):
            query(kind, server.host, server.port, timeout=60)

    assert time.monotonic() - started < 30


@pytest.mark.parametrize("kind", UDP_KINDS)
def test_garbage_alone_is_named_at_the_deadline(kind):
    def answer(datagram: bytes) -> list[bytes]:
        return [b"\x04\x00\x00" + datagram[8:12] + b"nonsense"]

    with udp_server(answer) as server, pytest.raises(Malformed):
        query(kind, server.host, server.port, timeout=1)


@pytest.mark.parametrize("kind", UDP_KINDS)
def test_silent_udp_server_is_a_timeout(kind):
    with udp_server(lambda _: []) as server:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            query(kind, server.host, server.port, timeout=0.3)

    assert time.monotonic() - started < 20


def test_silent_minecraft_server_is_a_timeout():
    with tcp_server(lambda peer: peer.wait_for_close()) as server, pytest.raises(TimedOut):
        query("minecraft", server.host, server.port, timeout=0.3)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_closed_port_is_unreachable_at_once(kind):
    started = time.monotonic()

    with pytest.raises(Unreachable):
        query(kind, "127.0.0.1", free_port(), timeout=60)

    assert time.monotonic() - started < 30


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    ("host", "port", "timeout"),
    [
        ("127.0.0.1", 0, 1.0),
        ("127.0.0.1", 65536, 1.0),
        ("127.0.0.1", 1, 0.0),
        ("127.0.0.1", 1, float("nan")),
        ("a" * 300, 1, 1.0),
        ("127.0.0.1\0", 1, 1.0),
    ],
)
def test_impossible_question_is_a_protocol_error(kind, host, port, timeout):
    with pytest.raises((InvalidRequest, Unreachable)):
        query(kind, host, port, timeout)


def test_protocols_need_neither_django_nor_a_database():
    program = (
        "import sys, servers.protocols, servers.protocols.rcon, servers.protocols.econ; print(sorted(sys.modules))"
    )

    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout

    assert "servers.protocols.rcon" in modules
    assert "'django" not in modules


def test_unknown_kind_is_refused():
    with pytest.raises(InvalidRequest):
        query("quake", "127.0.0.1", 1)


def test_tcp_needs_no_protocol():
    with tcp_server(lambda peer: peer.wait_for_close()) as server:
        status = query("tcp", server.host, server.port)

    assert status.players is None
    assert status.detail == "accepts connections"


def teeworlds_answer(datagram: bytes) -> list[bytes]:
    """Speak as teeworlds-server 0.7.5 was seen to do, silence towards short token requests included."""
    if datagram.startswith(b"\x04\x00\x00\xff\xff\xff\xff\x05"):
        return [b"\x04\x00\x00" + datagram[8:12] + b"\x05TOKN"] if len(datagram) >= 520 else []
    if datagram[:5] == b"\x21TOKN" and datagram[9:17] == b"\xff\xff\xff\xffgie3":
        info = b"0.7.5\0My \x1b[1mserver\0\0dm1\0DM\0" + bytes([0, 1, 2, 8, 3, 0x50 | 0x80, 1])
        return [b"\x21" + datagram[5:9] + b"TOKN" + b"\xff\xff\xff\xffinf3" + datagram[17:] + info]
    return []


def test_teeworlds_info_is_read_after_the_token_exchange():
    with udp_server(teeworlds_answer) as server:
        status = query("teeworlds", server.host, server.port)

    assert status == GameStatus(3, None, "0.7.5", "My server, map dm1, DM", status.latency_ms)


def test_teeworlds_answers_for_somebody_else_are_ignored():
    def answer(datagram: bytes) -> list[bytes]:
        return [b"\x04\x00\x00nope\x05EVIL", *teeworlds_answer(datagram)]

    with udp_server(answer) as server:
        assert query("teeworlds", server.host, server.port).players == 3


def minetest_server(greeting: bytes | None, ignored_inits: int = 1) -> tuple[list[bytes], "MinetestScript"]:
    seen: list[bytes] = []
    return seen, MinetestScript(greeting, ignored_inits, seen)


class MinetestScript:
    """Give a peer number at once, but overlook the first messages of a join as minetestserver 5.6.1 does."""

    def __init__(self, greeting: bytes | None, ignored_inits: int, seen: list[bytes]) -> None:
        self.greeting = greeting
        self.ignored_inits = ignored_inits
        self.seen = seen

    def __call__(self, datagram: bytes) -> list[bytes]:
        self.seen.append(datagram)
        header = b"\x4f\x45\x74\x03\x00\x01\x00"
        if datagram[4:6] == b"\0\0":
            return [header + b"\x03\xff\xdc\x00\x01\x00\x07"]
        if datagram[4:10] == b"\x00\x07\x01\x01\x00\x02" and self.greeting:
            self.ignored_inits -= 1
            if self.ignored_inits < 0:
                return [header + b"\x03\xff\xdc\x00\x01\x00\x07", header + b"\x03\xff\xdd" + self.greeting]
        return []


@pytest.mark.parametrize(
    ("greeting", "version", "detail"),
    [
        (b"\x01\x00\x02\x1d\x00\x00\x00\x29\x00\x00\x00\x04\x00\x00", "protocol 41", "accepts joins"),
        (b"\x01\x00\x0a\x06", "", "answers, but refuses joins"),
    ],
)
def test_minetest_greeting_of_the_game_loop_is_awaited(greeting, version, detail):
    seen, script = minetest_server(greeting, ignored_inits=2)

    with udp_server(script) as server:
        status = query("minetest", server.host, server.port)
        wait_until(lambda: seen[-1] == GOODBYE, what="our goodbye")

    assert (status.players, status.version, status.detail) == (None, version, detail)
    assert seen[1] == b"\x4f\x45\x74\x03\x00\x07\x00\x00\x00\xff\xdc"


def test_minetest_whose_game_loop_hangs_is_a_timeout_and_we_still_say_goodbye():
    seen, script = minetest_server(None)

    with udp_server(script) as server:
        with pytest.raises(TimedOut):
            query("minetest", server.host, server.port, timeout=1.5)
        wait_until(lambda: seen[-1] == GOODBYE, what="our goodbye")


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (20, 20), (-1, None), (10**7, None), (True, None), ("3", None), (None, None), (1.0, None)],
)
def test_only_believable_player_numbers_are_kept(value, count):
    assert player_count(value) == count


@pytest.mark.parametrize(
    ("raw", "clean"),
    [("§aGreen§r", "Green"), ("a\0b", "ab"), ("\x1b[31mred\x1b[0m", "red"), ("a\r\nb\tc", "a\nb\tc"), ("\ud800x", "x")],
)
def test_text_is_cleaned(raw, clean):
    assert clean_text(raw) == clean


def test_short_text_is_one_bounded_line():
    assert short_text("a\n\n  b" + "c" * 500, 10) == "a bccccccc"
    assert short_text(None) == ""
