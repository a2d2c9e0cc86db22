"""What an owner may do with his servers, beyond what his role gives him with everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accounts.models import User

OWNER_VERBS = frozenset(
    f"servers.{action}" for action in ("view", "control", "console", "change", "reveal", "share", "delete")
)


def owner_may(actor: User, verb: str, server: Any) -> bool:
    """Whether the actor owns the server and the verb is an owner's."""
    return verb in OWNER_VERBS and server.owner_id == actor.pk
