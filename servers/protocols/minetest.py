"""Minetest and Luanti: knock as a joining client does, take the greeting, leave.

Checked against minetestserver 5.6.1. An empty packet gets a peer number from the network thread, which says little:
that thread answers even when the game loop hangs. So we go one step further and send the first message of a join;
the game loop answers with a greeting (which names its protocol) or a refusal, and no player appears and nothing is
logged. The loop takes notice of a new peer only at its next step (90 ms by default) and silently ignores a message
before that, so it is repeated. A peer that does not say goodbye gets resends for half a minute, hence the last packet.
The number of players is told only to those who join.
"""

import struct
import time
from contextlib import closing, suppress

from servers.protocols.errors import Malformed, Unreachable
from servers.protocols.sockets import Deadline, UdpPeer
from servers.protocols.status import GameStatus

PROTOCOL_ID = b"\x4f\x45\x74\x03"
NO_PEER = b"\0\0"
CONTROL, ORIGINAL, RELIABLE = b"\x00", b"\x01", b"\x03"
ACKNOWLEDGE, SET_PEER_ID, DISCONNECT = b"\x00", b"\x01", b"\x03"
TO_SERVER_INIT = 0x0002
TO_CLIENT_HELLO, TO_CLIENT_ACCESS_DENIED, TO_CLIENT_ACCESS_DENIED_LEGACY = 0x0002, 0x000A, 0x0035
NAME = b"hub-status"
REPEAT_SECONDS = 0.1


def encode_packet(peer_id: bytes, channel: int, body: bytes) -> bytes:
    """Return a packet from the peer that the server knows under this number."""
    return PROTOCOL_ID + peer_id + bytes([channel]) + body


def encode_init() -> bytes:
    """Return the first message of a join: any format, any protocol version, a name."""
    return ORIGINAL + struct.pack(">HBHHHH", TO_SERVER_INIT, 0xFF, 0, 1, 0xFFFF, len(NAME)) + NAME


def decode_reliable(datagram: bytes) -> tuple[bytes, bytes]:
    """Return number and content of a packet that wants to be acknowledged; both empty for any other packet."""
    if not datagram.startswith(PROTOCOL_ID) or len(datagram) < 8:
        raise Malformed("The server answers with something other than the Minetest protocol.")
    if datagram[7:8] != RELIABLE:
        return b"", b""
    if len(datagram) < 11:
        raise Malformed("The server sends a Minetest packet that is cut off.")
    return datagram[8:10], datagram[10:]


def decode_peer_id(datagram: bytes) -> tuple[bytes, bytes] | None:
    """Return the packet's number and the peer number it gives us, None for another packet."""
    sequence, content = decode_reliable(datagram)
    if content[:2] != CONTROL + SET_PEER_ID:
        return None
    if len(content) < 4:
        raise Malformed("The server gives no Minetest peer number.")
    return sequence, content[2:4]


def decode_greeting(datagram: bytes) -> tuple[str, str] | None:
    """Return version and a sentence from the game loop's answer, None for another packet."""
    _, content = decode_reliable(datagram)
    if content[:1] != ORIGINAL:
        return None
    if len(content) < 3:
        raise Malformed("The server sends an empty Minetest message.")
    (message,) = struct.unpack_from(">H", content, 1)
    if message in {TO_CLIENT_ACCESS_DENIED, TO_CLIENT_ACCESS_DENIED_LEGACY}:
        return "", "answers, but refuses joins"
    if message != TO_CLIENT_HELLO:
        return None
    if len(content) < 8:
        raise Malformed("The server's Minetest greeting is cut off.")
    (protocol,) = struct.unpack_from(">H", content, 6)
    return f"protocol {protocol}", "accepts joins"


def query(host: str, port: int, timeout: float) -> GameStatus:
    """Knock, take the greeting, leave."""
    with closing(UdpPeer(host, port, Deadline(timeout))) as peer:
        started = time.monotonic()
        sequence, peer_id = peer.ask(encode_packet(NO_PEER, 0, ORIGINAL), decode_peer_id)
        latency_ms = (time.monotonic() - started) * 1000
        try:
            peer.send(encode_packet(peer_id, 0, CONTROL + ACKNOWLEDGE + sequence))
            version, detail = peer.ask(encode_packet(peer_id, 1, encode_init()), decode_greeting, REPEAT_SECONDS)
        finally:
            with suppress(Unreachable):
                peer.send(encode_packet(peer_id, 0, CONTROL + DISCONNECT))
    return GameStatus(None, None, version, detail, latency_ms)
