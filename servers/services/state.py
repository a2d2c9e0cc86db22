"""Which verb a server's state permits, said once: services refuse with these reasons, pages and the API show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from accounts import quotas
from accounts.permissions import can, require
from hub.exceptions import Conflict
from hub.nodes.choices import AdminState, DesiredStatus, ObservedStatus
from hub.nodes.models import Node
from servers.models import GameServer

if TYPE_CHECKING:
    from accounts.actors import Asker

S, D = ObservedStatus, DesiredStatus
NOT_ALLOWED = "You are not allowed to do this."
BUSY: Final = {
    AdminState.INSTALLING: "It is being installed.",
    AdminState.RESTORING: "A backup of it is being restored.",
}


def _free(server: GameServer) -> str:
    return ""


def _start(server: GameServer) -> str:
    if server.is_suspended:
        return _suspended(server)
    if server.desired_status == D.RUNNING and server.observed_status not in (S.FAILED, S.CRASHED, S.LOST):
        return "It runs already." if server.observed_status == S.RUNNING else "It is being started already."
    return ""


def _stop(server: GameServer) -> str:
    if server.desired_status != D.STOPPED:
        return ""
    return "It is stopped already." if server.observed_status == S.STOPPED else "It is being stopped already."


def _restart(server: GameServer) -> str:
    if server.is_suspended:
        return _suspended(server)
    return "It is stopped; start it instead." if server.desired_status == D.STOPPED else ""


def _kill(server: GameServer) -> str:
    if server.desired_status != D.STOPPED:
        return ""
    if server.observed_status in (S.STOPPED, S.FAILED):
        return "Nothing of it runs."
    return "It is being killed already." if server.is_kill_wanted else ""


def _settings(server: GameServer) -> str:
    return _suspended(server) if server.is_suspended else ""


def _move_port(server: GameServer) -> str:
    if server.is_suspended:
        return _suspended(server)
    return "" if server.leased_addresses else "It has no address yet."


def _send_command(server: GameServer) -> str:
    if not server.template.console_kind:
        return "Servers of its template have no console that takes commands."
    runs = server.desired_status == D.RUNNING and server.observed_status in (S.RUNNING, S.UNHEALTHY)
    return "" if runs else "It takes commands only while it runs."


def _suspend(server: GameServer) -> str:
    return "It is suspended already." if server.is_suspended else ""


def _unsuspend(server: GameServer) -> str:
    return "" if server.is_suspended else "It is not suspended."


def _suspended(server: GameServer) -> str:
    return f"It is suspended: {server.suspension_reason or 'ask those who run the hub.'}"


@dataclass(frozen=True)
class Verb:
    """What one verb needs: a right, and a state. `passes_busy` verbs may be used during installs and restores."""

    permission: str
    refusal: Callable[[GameServer], str]
    passes_busy: bool = False


VERBS: Final[dict[str, Verb]] = {
    "start": Verb("servers.control", _start),
    "stop": Verb("servers.control", _stop),
    "restart": Verb("servers.control", _restart),
    "kill": Verb("servers.control", _kill),
    "delete": Verb("servers.delete", _settings),
    "rename": Verb("servers.change", _free, passes_busy=True),
    "resize": Verb("servers.change", _settings),
    "update_variables": Verb("servers.change", _settings),
    "move_port": Verb("servers.change", _move_port),
    "publish_port": Verb("servers.change", _settings),
    "reveal_credentials": Verb("servers.reveal", _free, passes_busy=True),
    "rotate_credentials": Verb("servers.reveal", _settings),
    "send_command": Verb("servers.console", _send_command),
    "suspend": Verb("servers.suspend", _suspend, passes_busy=True),
    "unsuspend": Verb("servers.suspend", _unsuspend, passes_busy=True),
}
PERMISSIONS: Final = frozenset(rules.permission for rules in VERBS.values())


def refusal(server: GameServer, verb: str) -> str:
    """Why the server's state does not permit the verb now, or ""."""
    if D.DELETED in (server.desired_status, server.observed_status):
        return "It is being deleted." if server.observed_status != S.DELETED else "It is deleted."
    rules = VERBS[verb]
    if server.admin_state in BUSY and not rules.passes_busy:
        return BUSY[AdminState(server.admin_state)]
    return rules.refusal(server)


def allowed_actions(server: GameServer, actor: Asker) -> dict[str, str]:
    """Each verb with the reason why not, "" when it may be used now."""
    rights = {permission for permission in PERMISSIONS if can(actor, permission, server)}
    return {verb: refusal(server, verb) if rules.permission in rights else NOT_ALLOWED for verb, rules in VERBS.items()}


def may(actor: Asker, verb: str, server: GameServer) -> None:
    """Raise NotAllowed or NotFound unless the actor has the right."""
    require(actor, VERBS[verb].permission, server)


def check(server: GameServer, verb: str) -> None:
    """Raise Conflict with the reason unless the (locked) server's state permits the verb."""
    if reason := refusal(server, verb):
        raise Conflict(reason, code="not_now")


def lock(server: GameServer) -> GameServer:
    """The server's row as it is now, locked. Lock owner and node before, where they are needed."""
    rows = GameServer.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("owner", "template", "node__region").get(pk=server.pk)


def lock_for_change(server: GameServer) -> None:
    """Lock all that any change of it locks, in the order in which they do: owner, node, server."""
    quotas.lock_owner(server.owner)
    Node.objects.select_for_update(no_key=True).get(pk=server.node_id)
    lock(server)


def refresh(server: GameServer, locked: GameServer) -> None:
    """Let the caller's instance show what the locked one became."""
    for field in GameServer._meta.concrete_fields:
        setattr(server, field.attname, getattr(locked, field.attname))
    server.__dict__.pop("address_rows", None)
