"""Teeworlds 0.7 server info, as the client's server browser asks for it.

Checked against teeworlds-server 0.7.5. A stranger first trades tokens: our request must be padded to 512 bytes, or
the server stays silent, since its answer must never be larger than a question with a forged sender. The info answer
then comes from the main loop, so a server that hangs does not answer.

A packet starts with flags and version bits, then the receiver's token. Numbers are six bits and a sign, then seven
bits per byte.
"""

import secrets
import time
from contextlib import closing
from typing import NamedTuple

from servers.protocols.errors import Malformed
from servers.protocols.sockets import Deadline, UdpPeer
from servers.protocols.status import GameStatus, player_count, short_text

CONTROL_HEADER = b"\x04\x00\x00"
CONNLESS_HEADER = b"\x21"
NO_TOKEN = b"\xff\xff\xff\xff"
TOKEN_MESSAGE = b"\x05"
TOKEN_PADDING = bytes(508)
INFO_REQUEST = b"\xff\xff\xff\xffgie3"
INFO_ANSWER = b"\xff\xff\xff\xffinf3"
LONGEST_STRING = 512


class Info(NamedTuple):
    """The part of an info answer before the list of clients."""

    browser_token: int
    version: str
    name: str
    map_name: str
    game_type: str
    clients: int
    max_clients: int


def decode_int(data: bytes, offset: int) -> tuple[int, int]:
    """Return the number at `offset` and the offset behind it."""
    if offset >= len(data):
        raise Malformed("The Teeworlds answer ends too early.")
    byte = data[offset]
    value, shift = byte & 0x3F, 6
    negative = bool(byte & 0x40)
    while byte & 0x80:
        offset += 1
        if offset >= len(data) or shift > 27:
            raise Malformed("The Teeworlds answer contains a broken number.")
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        shift += 7
    return (~value if negative else value), offset + 1


def decode_string(data: bytes, offset: int) -> tuple[str, int]:
    """Return the NUL-terminated text at `offset` and the offset behind it."""
    end = data.find(b"\0", offset, offset + LONGEST_STRING)
    if end < 0:
        raise Malformed("The Teeworlds answer contains a text without end.")
    return data[offset:end].decode(errors="replace"), end + 1


def decode_token(datagram: bytes, own_token: bytes) -> bytes | None:
    """Return the server's token, None when the datagram is not meant for us."""
    if datagram[:1] != CONTROL_HEADER[:1] or datagram[3:7] != own_token:
        return None
    if len(datagram) < 12 or datagram[7:8] != TOKEN_MESSAGE:
        raise Malformed("The server answers the Teeworlds token request with something else.")
    return datagram[8:12]


def decode_info(datagram: bytes, own_token: bytes) -> Info | None:
    """Return the server info, None when the datagram is not meant for us."""
    if datagram[:1] != CONNLESS_HEADER or datagram[1:5] != own_token:
        return None
    data = datagram[9:]
    if not data.startswith(INFO_ANSWER):
        raise Malformed("The server answers the Teeworlds info request with something else.")
    browser_token, offset = decode_int(data, len(INFO_ANSWER))
    texts = []
    for _ in range(5):  # version, name, host name, map, game type
        text, offset = decode_string(data, offset)
        texts.append(text)
    numbers = []
    for _ in range(6):  # flags, skill level, players, most players, clients, most clients
        number, offset = decode_int(data, offset)
        numbers.append(number)
    version, name, _, map_name, game_type = texts
    return Info(browser_token, version, name, map_name, game_type, numbers[4], numbers[5])


def query(host: str, port: int, timeout: float) -> GameStatus:
    """Trade tokens and ask for the server info."""
    own_token = secrets.token_bytes(4)
    with closing(UdpPeer(host, port, Deadline(timeout))) as peer:
        hello = CONTROL_HEADER + NO_TOKEN + TOKEN_MESSAGE + own_token + TOKEN_PADDING
        server_token = peer.ask(hello, lambda datagram: decode_token(datagram, own_token))
        started = time.monotonic()
        question = CONNLESS_HEADER + server_token + own_token + INFO_REQUEST + b"\x01"
        info = peer.ask(question, lambda datagram: decode_info(datagram, own_token))
        latency_ms = (time.monotonic() - started) * 1000
    return GameStatus(
        player_count(info.clients),
        player_count(info.max_clients),
        short_text(info.version),
        f"{short_text(info.name, 80)}, map {short_text(info.map_name, 40)}, {short_text(info.game_type, 40)}",
        latency_ms,
    )
