"""What the hub speaks with game servers; every failure is a ProtocolError, every call ends at its deadline."""

from collections.abc import Callable

from servers.protocols import a2s, minecraft, minetest, tcp, teeworlds
from servers.protocols.errors import (
    AuthenticationFailed,
    InvalidRequest,
    Malformed,
    ProtocolError,
    TimedOut,
    Unreachable,
)
from servers.protocols.status import GameStatus

__all__ = [
    "KINDS",
    "AuthenticationFailed",
    "GameStatus",
    "InvalidRequest",
    "Malformed",
    "ProtocolError",
    "TimedOut",
    "Unreachable",
    "query",
]

KINDS: dict[str, Callable[[str, int, float], GameStatus]] = {
    "minecraft": minecraft.query,
    "a2s": a2s.query,
    "tcp": tcp.query,
    "teeworlds": teeworlds.query,
    "minetest": minetest.query,
}


def query(kind: str, host: str, port: int, timeout: float = 3.0) -> GameStatus:
    """Ask a server how it is, in its own protocol."""
    try:
        ask = KINDS[kind]
    except KeyError:
        raise InvalidRequest(f"There is no status query of the kind {kind!r}.") from None
    return ask(host, port, timeout)
