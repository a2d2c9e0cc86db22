"""Commands: each type has one handler. What a handler does is its own module's; this is the table.

A handler gets the agent and the command, and returns when the work is done or has failed; it reports through the hub
itself. Whatever it raises is logged and does not stop the agent: the hub offers the work again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loop import Agent

logger = logging.getLogger(__name__)
Handler = Callable[["Agent", dict[str, Any]], None]
_handlers: dict[str, Handler] = {}


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Decorate the handler of a type of command."""

    def keep(handler: Handler) -> Handler:
        _handlers[kind] = handler
        return handler

    return keep


def do(agent: Agent, command: dict[str, Any]) -> bool:
    """Do one command; False when this agent does not know its type, or it went wrong."""
    kind = str(command.get("type"))
    handler = _handlers.get(kind)
    if handler is None:
        logger.warning("this agent does not know the command %s", kind)
        return False
    try:
        handler(agent, command)
    except Exception:
        logger.exception("the command %s went wrong", kind)
        return False
    return True
