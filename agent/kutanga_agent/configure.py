"""Take a configuration: kept on disk, so that it holds after a restart, and acknowledged."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from .hub import TIMEOUT_SECONDS
from .work import handles

if TYPE_CHECKING:
    from .loop import Agent

NAMES = ("polling_interval", "heartbeat_timeout", "deploy_timeout", "log_level", "settings")
FILE = "settings.json"


@handles("configure")
def configure(agent: Agent, command: dict[str, Any]) -> None:
    """Apply it; programs of the device read `settings.json`."""
    memory, version = agent.state.memory, int(command["config_version"])
    settings = {name: command[name] for name in NAMES if name in command}
    path = f"/api/v1/devices/{memory.device_id}/config/applied"
    try:
        agent.state.write(FILE, json.dumps(settings.get("settings", {}), indent=2, sort_keys=True).encode())
    except OSError as error:
        agent.hub.signed("POST", path, {"config_version": version, "problem": str(error)[:500]})
        raise
    memory.settings, memory.config_version = settings, version
    agent.state.save()
    apply(agent)
    agent.hub.signed("POST", path, {"config_version": version})


def deploy_seconds(agent: Agent, unset: float) -> float:
    """For how long a script may run whose bundle does not say it."""
    return float(agent.state.memory.settings.get("deploy_timeout", unset))


def apply(agent: Agent) -> None:
    """What of it concerns the agent itself; also after a start."""
    settings = agent.state.memory.settings
    agent.hub.timeout = float(settings.get("heartbeat_timeout", TIMEOUT_SECONDS))
    level = settings.get("log_level")
    if level in ("DEBUG", "INFO", "WARNING", "ERROR"):
        logging.getLogger("kutanga_agent").setLevel(level)
