"""Look at a server's output. The web never asks an engine: it reads what the agent brought, and asks for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.permissions import require
from servers.models import GameServer, ServerLog

if TYPE_CHECKING:
    from accounts.actors import Asker


def read_log(server: GameServer, *, actor: Asker) -> ServerLog:
    """The output stored last, with its time; the agent brings newer output for the next half minute."""
    require(actor, "servers.console", server)
    return ServerLog.objects.want(server)
