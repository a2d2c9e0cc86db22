"""One power for many servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final
from uuid import UUID

from accounts.permissions import require
from hub import bulk
from hub.nodes.models import Operation
from servers.models import GameServer

from . import power, state

if TYPE_CHECKING:
    from accounts.actors import Asker

POWERS: Final[dict[str, Callable[..., Operation | None]]] = {
    "start": power.start_server,
    "stop": power.stop_server,
    "restart": power.restart_server,
    "kill": power.kill_server,
    "delete": power.delete_server,
}


def ask_many(ids: Iterable[UUID], verb: str, *, actor: Asker) -> list[bulk.Result[GameServer]]:
    """Ask a power of each; the value of a result is the operation, None when it was asked already.

    Who may use the verb on no server at all is refused as a whole.
    """
    require(actor, state.VERBS[verb].permission)
    servers = GameServer.objects.visible_to(actor).alive().with_details()
    return bulk.for_keys(ids, servers, lambda server: POWERS[verb](server, actor=actor))
