"""The remote console of a running server, in the dialect that its game speaks; the agent's part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.engines.base import Engine, Observation

from .choices import ConsoleKind, ReadinessKind
from .health import endpoint
from .protocols import Unreachable
from .protocols.econ import EconClient
from .protocols.rcon import Dialect, RconClient

if TYPE_CHECKING:
    from .models import GameServer


def remote_console(
    server: GameServer, engine: Engine, seen: Observation, kind: str, *, timeout: float
) -> RconClient | EconClient:
    """A client that is not connected yet, of econ or else of RCON."""
    port = server.template.console_port
    if port is None:
        raise Unreachable("The template has no port for a remote console.")
    host, number = endpoint(seen, port, by_image=engine.capabilities.images)
    password = server.rcon_password.reveal()
    if kind == ConsoleKind.ECON:
        return EconClient(host, number, password, timeout=timeout)
    # Minecraft loses the second of two packets that come together, which is how Source is asked for the end.
    is_minecraft = server.template.readiness_kind == ReadinessKind.MINECRAFT
    dialect = Dialect.MINECRAFT if is_minecraft else Dialect.SOURCE
    return RconClient(host, number, password, timeout=timeout, dialect=dialect)
