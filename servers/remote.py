"""The remote console of a running server, in the dialect that its game speaks; the agent's part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hub.engines.base import Engine, Observation

from .choices import ConsoleKind, ReadinessKind
from .health import endpoint
from .logins import login
from .protocols import Unreachable
from .protocols.econ import EconClient
from .protocols.rcon import Dialect, RconClient

if TYPE_CHECKING:
    from .models import GameServer


@contextmanager
def remote_console(
    server: GameServer, engine: Engine, seen: Observation, kind: str, *, timeout: float
) -> Iterator[RconClient | EconClient]:
    """A client that is logged in, of econ or else of RCON."""
    port = server.template.console_port
    if port is None:
        raise Unreachable("The template has no port for a remote console.")
    host, number = endpoint(seen, port, by_image=engine.capabilities.images)
    with login(server) as password, _client(server, kind, host, number, password, timeout) as client:
        yield client


def _client(
    server: GameServer, kind: str, host: str, number: int, password: str, timeout: float
) -> RconClient | EconClient:
    if kind == ConsoleKind.ECON:
        return EconClient(host, number, password, timeout=timeout)
    # Minecraft loses the second of two packets that come together, which is how Source is asked for the end.
    is_minecraft = server.template.readiness_kind == ReadinessKind.MINECRAFT
    dialect = Dialect.MINECRAFT if is_minecraft else Dialect.SOURCE
    return RconClient(host, number, password, timeout=timeout, dialect=dialect)
