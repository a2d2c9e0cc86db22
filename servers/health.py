"""Is a server ready, is it still well: asked in its own protocol, in at most two seconds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hub.engines.base import Engine, EngineError, Observation
from hub.exceptions import SecretError
from hub.nodes.choices import ObservedStatus
from hub.nodes.workloads import Health

from . import protocols
from .choices import ReadinessKind
from .logins import login
from .ports import TemplatePort
from .protocols.rcon import RconClient

if TYPE_CHECKING:
    from .models import GameServer

TIMEOUT_SECONDS = 2.0
LOG_TAIL = 500
MAX_LOG_CHUNKS = 32


def check(server: GameServer, engine: Engine, observation: Observation) -> Health:
    """What the server itself says."""
    template = server.template
    if observation.is_ready is False:
        return Health(is_ok=False, detail="Its port takes no connections yet, says the cluster.")
    try:
        if template.readiness_kind == ReadinessKind.LOG:
            return _by_log(server, engine)
        port = template.console_port if template.readiness_kind == ReadinessKind.RCON else template.checked_port
        if port is None:
            return Health(is_ok=True)
        if not _is_reached(observation, port, engine):
            return Health(is_ok=True)
        host, number = endpoint(observation, port, by_image=engine.capabilities.images)
        if template.readiness_kind == ReadinessKind.RCON:
            return _by_rcon(server, host, number)
        return _by_query(template.readiness_kind, host, number)
    except protocols.ProtocolError as error:
        return Health(is_ok=False, detail=str(error))
    except EngineError as error:
        return Health(is_ok=False, detail=f"Its log cannot be read: {error}")
    except SecretError as error:
        # It was not asked, so what is known of it stays.
        return Health(is_ok=server.observed_status == ObservedStatus.RUNNING, detail=f"It cannot be asked: {error}")


def _is_reached(observation: Observation, port: TemplatePort, engine: Engine) -> bool:
    """Whether the agent can ask at all: of a cluster it may reach leased addresses only."""
    if observation.host or not engine.capabilities.restarts_by_itself:
        return True
    return any(binding.name == port.name for binding in observation.ports)


def endpoint(observation: Observation, port: TemplatePort, *, by_image: bool) -> tuple[str, int]:
    """Where the agent reaches a port: inside the container's network, or on the address it was leased."""
    leased = next((binding for binding in observation.ports if binding.name == port.name), None)
    if by_image and observation.host:
        return observation.host, port.target_port
    if leased is not None:
        return leased.ip, leased.port
    return observation.host or "127.0.0.1", port.target_port


def _by_query(kind: str, host: str, port: int) -> Health:
    status = protocols.query(kind, host, port, timeout=TIMEOUT_SECONDS)
    facts: dict[str, Any] = {"latency_ms": round(status.latency_ms, 1)}
    if status.players is not None:
        facts |= {"players": status.players, "max_players": status.max_players}
    if status.version:
        facts["version"] = status.version
    return Health(is_ok=True, facts=facts)


def _by_rcon(server: GameServer, host: str, port: int) -> Health:
    with login(server) as password, RconClient(host, port, password, timeout=TIMEOUT_SECONDS):
        return Health(is_ok=True)


def _by_log(server: GameServer, engine: Engine) -> Health:
    """Ready once the line was printed in this run; after that a log says nothing about health."""
    if server.observed_status in (ObservedStatus.RUNNING, ObservedStatus.UNHEALTHY):
        return Health(is_ok=True)
    pattern = re.compile(server.template.readiness_pattern)
    cursor = server.log_cursor
    for _ in range(MAX_LOG_CHUNKS):
        chunk = engine.logs(server.engine_name, tail=LOG_TAIL, cursor=cursor)
        if any(pattern.search(line) for line in chunk.lines):
            return Health(is_ok=True)
        if not chunk.lines or chunk.cursor == cursor:
            break
        cursor = chunk.cursor
    return Health(is_ok=False, detail="It has not said yet that it is ready.")
