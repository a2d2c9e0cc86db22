"""Ask a running server to end in the way that suits it, and fall back to a signal when it does not listen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hub.engines.base import Engine, EngineError, Observation

from .choices import StopKind
from .health import TIMEOUT_SECONDS, endpoint
from .protocols import ProtocolError, Unreachable
from .protocols.econ import EconClient
from .protocols.rcon import RconClient

if TYPE_CHECKING:
    from .models import GameServer

logger = logging.getLogger(__name__)
FALLBACK_SIGNAL = "SIGTERM"


def begin_stop(server: GameServer, engine: Engine, observation: Observation) -> None:
    """Ask once and return; the caller kills at the deadline."""
    template = server.template
    if template.stop_kind == StopKind.SIGNAL:
        engine.stop(server.engine_name, signal=template.stop_value)
        return
    try:
        if template.stop_kind == StopKind.CONSOLE:
            engine.send_input(server.engine_name, template.stop_value)
        else:
            _by_remote_console(server, engine, observation)
    except (ProtocolError, EngineError) as error:
        logger.warning("%s did not take %r: %s", server.engine_name, template.stop_value, error)
        engine.stop(server.engine_name, signal=FALLBACK_SIGNAL)


def _by_remote_console(server: GameServer, engine: Engine, observation: Observation) -> None:
    port = server.template.console_port
    if port is None:
        raise Unreachable("The template has no port for a remote console.")
    host, number = endpoint(observation, port, by_image=engine.capabilities.images)
    client = EconClient if server.template.stop_kind == StopKind.ECON else RconClient
    console = client(host, number, server.rcon_password.reveal(), timeout=TIMEOUT_SECONDS)
    try:
        console.connect()
        console.command(server.template.stop_value, may_close=True)
    finally:
        console.close()
