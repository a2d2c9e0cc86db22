"""A2S_INFO, the Steam query that Source games and many others answer.

python-a2s packs and unpacks. It does not carry the datagrams: it knows no IPv6, takes an answer from any sender, has
no limit on the whole, and unpacks bzip2 parts without one, so that 64 kB of a hostile server's can become a gigabyte
here. An info answer fits one datagram, therefore split ones are refused.
"""

import io
import time
from contextlib import closing
from dataclasses import replace

from a2s.byteio import ByteReader
from a2s.info import InfoProtocol

from servers.protocols.errors import Malformed
from servers.protocols.sockets import Deadline, UdpPeer
from servers.protocols.status import GameStatus, player_count, short_text

SINGLE = b"\xff\xff\xff\xff"
CHALLENGE = 0x41
MAX_CHALLENGES = 3
LARGEST_ANSWER = 4096


def encode_request(challenge: int = 0) -> bytes:
    """Return an info request, with the challenge the server asked to see."""
    return SINGLE + bytes(InfoProtocol.serialize_request(challenge))


def decode_answer(datagram: bytes) -> tuple[GameStatus | None, int]:
    """Return the status without its latency, or none and the challenge to repeat the question with."""
    if not datagram.startswith(SINGLE) or not 5 <= len(datagram) <= LARGEST_ANSWER:
        raise Malformed("The server answers the Steam query with something else.")
    reader = ByteReader(io.BytesIO(datagram[len(SINGLE) :]), endian="<", encoding="utf-8")
    try:
        answer_type = int(reader.read_uint8())
        if answer_type == CHALLENGE:
            return None, int(reader.read_uint32())
        if not InfoProtocol.validate_response_type(answer_type):
            raise Malformed(f"The server answers the Steam query with type {answer_type:#x}.")
        info = InfoProtocol.deserialize_response(reader, answer_type, 0.0)
    except Malformed:
        raise
    except Exception as error:  # a foreign parser on hostile input raises whatever it meets
        raise Malformed("The server's answer to the Steam query cannot be read.") from error
    name, map_name, game = short_text(info.server_name, 80), short_text(info.map_name, 40), short_text(info.game, 60)
    status = GameStatus(
        player_count(info.player_count),
        player_count(info.max_players),
        short_text(getattr(info, "version", "")),  # GoldSrc answers have none
        f"{name}, map {map_name}, {game}",
        0.0,
    )
    return status, 0


def query(host: str, port: int, timeout: float) -> GameStatus:
    """Ask for the info, answering challenges."""
    challenge = 0
    with closing(UdpPeer(host, port, Deadline(timeout))) as peer:
        for _ in range(MAX_CHALLENGES):
            started = time.monotonic()
            status, challenge = peer.ask(encode_request(challenge), decode_answer)
            if status is not None:
                return replace(status, latency_ms=(time.monotonic() - started) * 1000)
    raise Malformed("The server keeps sending challenges.")
