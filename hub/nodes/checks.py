"""The health of the agents and of the engines they serve."""

from __future__ import annotations

from hub.health import DEGRADED, OK, Finding

from .models import Node


def check_agents() -> Finding:
    """Degraded while an enabled node has a silent agent or an engine that does not answer: other nodes go on."""
    nodes = list(Node.objects.filter(is_enabled=True))
    silent = [node.name for node in nodes if not node.is_agent_alive]
    broken = [node.name for node in nodes if node.is_agent_alive and node.engine_error]
    if not silent and not broken:
        return Finding(OK, f"{len(nodes)} answering")
    parts = [f"silent: {', '.join(silent)}"] * bool(silent) + [f"engine down: {', '.join(broken)}"] * bool(broken)
    return Finding(DEGRADED, "; ".join(parts))
