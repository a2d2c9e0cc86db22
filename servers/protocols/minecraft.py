"""Minecraft Java list ping: what a client's server list shows, and the right test of readiness.

mcstatus turns the answer into version, players and text. It does not carry the bytes: its time limit starts again
with every byte, so a server that drips holds the caller for hours, and it reads whatever length the server announces,
up to 2 GiB. The exchange is two small packets, so it happens here under one deadline and one size limit.
"""

import json
import struct
import time
from contextlib import closing
from typing import Any

from mcstatus.responses import JavaStatusResponse

from servers.protocols.errors import Malformed
from servers.protocols.sockets import Deadline, TcpStream
from servers.protocols.status import GameStatus, player_count, short_text

ANY_PROTOCOL = -1
NEXT_STATE_STATUS = 1
# The answer is a string of at most 32767 characters; four bytes each and the framing.
LARGEST_ANSWER = 4 * 32767 + 16
LONGEST_MOTD = 2048


def encode_varint(value: int) -> bytes:
    """Return a 32-bit integer in groups of seven bits."""
    value &= 0xFFFFFFFF
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_varint(data: bytes, offset: int = 0) -> tuple[int, int]:
    """Return the unsigned integer at `offset` and the offset behind it."""
    value = 0
    for position in range(5):
        if offset + position >= len(data):
            raise Malformed("The status answer ends inside a number.")
        byte = data[offset + position]
        value |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return value, offset + position + 1
    raise Malformed("The status answer contains a number that is too long.")


def encode_request(host: str, port: int) -> bytes:
    """Return handshake and status request."""
    name = host.encode(errors="replace")[:255]
    handshake = b"\0" + encode_varint(ANY_PROTOCOL) + encode_varint(len(name)) + name
    handshake += struct.pack(">H", port) + encode_varint(NEXT_STATE_STATUS)
    return encode_varint(len(handshake)) + handshake + b"\x01\x00"


def decode_answer(packet: bytes, latency_ms: float) -> GameStatus:
    """Return the status in the body of a status packet."""
    packet_id, offset = decode_varint(packet)
    length, offset = decode_varint(packet, offset)
    if packet_id != 0 or length != len(packet) - offset:
        raise Malformed("The server answers the list ping with something else.")
    try:
        raw = json.loads(packet[offset:])
        # mcstatus trusts the shape; only what we show is handed over, so mod lists and icons are not even looked at.
        players = raw["players"]
        wanted: Any = {
            "version": {"name": raw["version"]["name"], "protocol": raw["version"]["protocol"]},
            "players": {"online": players["online"], "max": players["max"]},
            "description": _bounded(raw.get("description", "")),
        }
        status = JavaStatusResponse.build(wanted, latency=latency_ms)
        motd = status.motd.to_plain()
    except Exception as error:  # a foreign parser on hostile input raises whatever it meets
        raise Malformed("The server's list entry cannot be read.") from error
    return GameStatus(
        player_count(status.players.online),
        player_count(status.players.max),
        short_text(status.version.name),
        short_text(motd),
        latency_ms,
    )


def query(host: str, port: int, timeout: float) -> GameStatus:
    """Ask as a client's server list would."""
    deadline = Deadline(timeout)
    with closing(TcpStream(host, port, deadline)) as stream:
        started = time.monotonic()
        stream.send(encode_request(host, port), deadline)
        packet = _read_packet(stream, deadline)
        return decode_answer(packet, (time.monotonic() - started) * 1000)


def _read_packet(stream: TcpStream, deadline: Deadline) -> bytes:
    header = b""
    while not header or header[-1] & 0x80:
        header += stream.read(1, deadline)
        if len(header) > 5:
            raise Malformed("The status answer has no sensible length.")
    length, _ = decode_varint(header)
    if not 2 <= length <= LARGEST_ANSWER:
        raise Malformed(f"The server announces a status answer of {length} bytes.")
    return stream.read(length, deadline)


def _bounded(description: object) -> object:
    """Cut a plain text before it is parsed; a nested one is bounded by the packet."""
    return description[:LONGEST_MOTD] if isinstance(description, str) else description
