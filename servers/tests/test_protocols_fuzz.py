"""Whatever a hostile server sends, our own parsers answer with a value or a ProtocolError."""

import json
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from servers.protocols import ProtocolError, a2s, minecraft, minetest, rcon, teeworlds
from servers.protocols.status import MAX_TEXT, GameStatus, clean_text, player_count, short_text

TOKEN = b"ownt"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def check(status: GameStatus) -> None:
    for text in (status.version, status.detail):
        assert "\n" not in text
        assert "\0" not in text
        text.encode()
    assert len(status.version) <= MAX_TEXT


@given(st.binary(max_size=300))
def test_rcon_packets(payload):
    with suppress(ProtocolError):
        packet = rcon.decode_packet(payload)
        rcon.decode_answer(packet.body).encode()


@given(st.binary(min_size=4, max_size=4))
def test_rcon_sizes(header):
    with suppress(ProtocolError):
        assert rcon.SMALLEST_SIZE <= rcon.decode_size(header) <= rcon.LARGEST_SIZE


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=4096))
def test_rcon_packets_survive_the_round_trip(packet_id, packet_type, body):
    packet = rcon.Packet(packet_id, packet_type, body.rstrip(b"\0"))

    encoded = rcon.encode_packet(packet)

    assert rcon.decode_size(encoded[:4]) == len(encoded) - 4
    assert rcon.decode_packet(encoded[4:]) == packet


@given(st.text(max_size=2000), st.sampled_from(rcon.Dialect))
def test_rcon_commands_are_one_line_or_refused(command, dialect):
    with suppress(ProtocolError):
        body = rcon.encode_command(command, dialect)
        assert body == command.encode()
        assert not set(body) & {0, 10, 13}
        assert len(body) <= rcon.LONGEST_BODY[dialect]


@given(st.binary(max_size=400))
def test_minecraft_packets(packet):
    with suppress(ProtocolError):
        check(minecraft.decode_answer(packet, 1.0))


@given(JSON, JSON, JSON, JSON, JSON)
def test_minecraft_entries_of_any_shape(name, protocol, online, maximum, description):
    text = json.dumps(
        {
            "version": {"name": name, "protocol": protocol},
            "players": {"online": online, "max": maximum},
            "description": description,
        }
    ).encode()

    with suppress(ProtocolError):
        check(minecraft.decode_answer(b"\0" + minecraft.encode_varint(len(text)) + text, 1.0))


@given(st.integers(0, 2**32 - 1))
def test_minecraft_numbers_survive_the_round_trip(value):
    encoded = minecraft.encode_varint(value)

    assert minecraft.decode_varint(encoded) == (value, len(encoded))


@given(st.binary(max_size=400), st.sampled_from([b"", b"I", b"m", b"A"]))
def test_a2s_datagrams(rest, answer_type):
    with suppress(ProtocolError):
        status, challenge = a2s.decode_answer(a2s.SINGLE + answer_type + rest)
        assert 0 <= challenge < 2**32
        if status:
            check(status)


@given(st.binary(max_size=400))
def test_teeworlds_datagrams(rest):
    for datagram in (
        rest,
        teeworlds.CONTROL_HEADER + TOKEN + rest,
        teeworlds.CONNLESS_HEADER + TOKEN + b"peer" + teeworlds.INFO_ANSWER + rest,
    ):
        with suppress(ProtocolError):
            token = teeworlds.decode_token(datagram, TOKEN)
            assert token is None or len(token) == 4
        with suppress(ProtocolError):
            teeworlds.decode_info(datagram, TOKEN)


@given(st.binary(min_size=1, max_size=8))
def test_teeworlds_numbers_stay_small(data):
    with suppress(ProtocolError):
        value, offset = teeworlds.decode_int(data, 0)
        assert abs(value) <= 2**34
        assert 1 <= offset <= len(data)


@given(st.binary(max_size=100))
def test_minetest_datagrams(rest):
    for datagram in (rest, minetest.PROTOCOL_ID + rest, minetest.PROTOCOL_ID + b"\0\1\0\x03\xff\xdc" + rest):
        with suppress(ProtocolError):
            given_id = minetest.decode_peer_id(datagram)
            assert given_id is None or len(given_id[1]) == 2
        with suppress(ProtocolError):
            minetest.decode_greeting(datagram)


@given(st.text())
def test_cleaned_text_can_be_stored(text):
    cleaned = clean_text(text)

    assert "\0" not in cleaned
    cleaned.encode()


@given(JSON, st.integers(1, 300))
def test_short_text_keeps_its_limit(value, limit):
    assert len(short_text(value, limit)) <= limit
    player_count(value)
