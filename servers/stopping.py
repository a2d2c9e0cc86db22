"""Ask a running server to end in the way that suits it, and fall back to a signal when it does not listen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hub.engines.base import Engine, EngineError, Observation
from hub.exceptions import SecretError

from .choices import StopKind
from .health import TIMEOUT_SECONDS
from .protocols import ProtocolError
from .remote import remote_console

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
            with remote_console(server, engine, observation, template.stop_kind, timeout=TIMEOUT_SECONDS) as console:
                console.command(template.stop_value, may_close=True)
    except (ProtocolError, EngineError, SecretError) as error:
        logger.warning("%s did not take %r: %s", server.engine_name, template.stop_value, error)
        engine.stop(server.engine_name, signal=FALLBACK_SIGNAL)
