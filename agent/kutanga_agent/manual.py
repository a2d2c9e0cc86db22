"""Commands that somebody sent by hand: each is done once, and its result is sent until the hub has taken it.

What is begun is written down before it begins, so a command that is offered again, or cut short by a restart, is told
and not done a second time.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import VERSION, scripts, unpack
from .deploy import BUNDLES
from .errors import WorkError, of_disk
from .health import hardware
from .hub import HubError
from .work import handles

if TYPE_CHECKING:
    from .loop import Agent

logger = logging.getLogger(__name__)
BEGUN, ANSWER = "command.json", "command-answer.json"
REMEMBERED = 50
MOST_SECONDS = 3600.0


@handles("command")
def command(agent: Agent, asked: dict[str, Any]) -> None:
    """Do it once and keep what came of it until the hub has taken it."""
    key, memory = str(UUID(str(asked["command_id"]))), agent.state.memory
    if key in memory.commands_done:
        _keep(agent, key, {"status": "failed", "error_message": "It was begun before, and its result is lost."})
        deliver(agent)
        return
    name = str(asked["name"])
    try:
        _note(agent, key)
        said = {"status": "done", "output": _do(agent, name, asked)}
    except WorkError as error:
        logger.warning("the command %s: %s", name, error.message)
        said = {"status": "failed", "error_message": error.message[:2000], "output": error.output}
    _keep(agent, key, said)
    if name == "restart":
        agent.stopping.set()
    deliver(agent)


def _note(agent: Agent, key: str) -> None:
    """Write down that it is begun; what cannot be written down is not begun."""
    memory = agent.state.memory
    memory.commands_done = [*memory.commands_done[1 - REMEMBERED :], key]
    try:
        agent.state.save()
        agent.state.write(BEGUN, json.dumps({"command_id": key}).encode())
    except OSError as error:
        raise of_disk(error) from None


def deliver(agent: Agent) -> None:
    """Send the result if it was not taken yet; what the hub refuses for good is forgotten."""
    content = agent.state.read(ANSWER)
    if content is None:
        return
    kept = json.loads(content)
    path = f"/api/v1/devices/{agent.state.memory.device_id}/commands/{kept['command_id']}"
    try:
        agent.hub.signed("POST", path, kept["said"])
    except HubError as error:
        if not error.is_final:
            raise
        logger.warning("the hub does not take the result: %s (%s)", error.message, error.code)
    agent.state.forget(ANSWER)


def recover(agent: Agent) -> None:
    """After a start: what was cut short has failed, and is not begun again."""
    content = agent.state.read(BEGUN)
    if content is not None:
        text = "The agent was restarted in the middle of it."
        _keep(agent, json.loads(content)["command_id"], {"status": "failed", "error_message": text})


def _keep(agent: Agent, key: str, said: dict[str, Any]) -> None:
    agent.state.keep(ANSWER, json.dumps({"command_id": key, "said": said}).encode())
    agent.state.forget(BEGUN)


def _do(agent: Agent, name: str, asked: dict[str, Any]) -> str:
    if name == "diagnose":
        return diagnose(agent)
    if name == "restart":
        return "The agent ends; what keeps it running starts it again."
    return _script(agent, name, [str(each) for each in asked.get("arguments", [])], asked)


def diagnose(agent: Agent) -> str:
    """How the device is, in full; nothing secret."""
    memory, reading = agent.state.memory, agent.meter.read()
    facts = {
        "agent_version": VERSION,
        "status": reading.status,
        "cpu_pct": reading.cpu,
        "memory_mb": reading.memory_mb,
        "disk_pct": round(reading.disk, 1),
        "load": round(reading.load, 2),
        "uptime_seconds": int(time.monotonic()),
        "clock_offset_seconds": round(memory.clock_offset, 1),
        "bundle_version": memory.bundle_version,
        "config_version": memory.config_version,
        "key": agent.hub.key.fingerprint,
        "hardware": hardware(),
    }
    return json.dumps(facts, indent=2, sort_keys=True)


def _script(agent: Agent, name: str, arguments: list[str], asked: dict[str, Any]) -> str:
    """Run the script that the bundle on this device declares for the name; no other program, and no shell."""
    memory = agent.state.memory
    place = agent.state.place / BUNDLES / memory.bundle_id
    if not memory.bundle_id or not place.is_dir():
        raise WorkError("script", "No bundle is installed, so there is no such command.")
    root, manifest = unpack.read_manifest(place)
    declared = manifest.get("commands")
    found = declared.get(name) if isinstance(declared, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("script"), str):
        raise WorkError("script", f"The bundle declares no command {name[:40]}.")
    own: Path = agent.state.place / "data"
    own.mkdir(mode=0o750, exist_ok=True)
    values = {"KUTANGA_VERSION": manifest["version"], "KUTANGA_BUNDLE": str(root), "KUTANGA_STATE": str(own)}
    limit = min(
        float(asked.get("timeout_seconds", 300)), float(found.get("timeout_seconds", MOST_SECONDS)), MOST_SECONDS
    )
    return scripts.run(unpack.inside(root, found["script"]), root, seconds=limit, values=values, arguments=arguments)
