"""Start, stop, restart, kill and delete: each is a wish that the node's agent fulfils."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts import audit
from hub.nodes import operations
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Operation
from servers.models import GameServer

from . import state

if TYPE_CHECKING:
    from accounts.actors import Asker

S, D = ObservedStatus, DesiredStatus
DONE = {"start": "started", "stop": "stopped", "restart": "restarted", "kill": "killed", "delete": "deleted"}


def start_server(server: GameServer, *, actor: Asker) -> Operation | None:
    """Start it; None when that was asked already and nothing is in the way."""
    return _ask(server, "start", desired=D.RUNNING, actor=actor)


def stop_server(server: GameServer, *, actor: Asker) -> Operation | None:
    """Ask it to end in its own way; killed after its template's grace. None when that was asked already."""
    return _ask(server, "stop", desired=D.STOPPED, actor=actor)


def restart_server(server: GameServer, *, actor: Asker) -> Operation | None:
    """End the present run and start another with the settings stored now."""
    return _ask(server, "restart", desired=D.RUNNING, actor=actor)


def kill_server(server: GameServer, *, actor: Asker) -> Operation | None:
    """End it at once, unsaved data lost; None when nothing of it runs. Passes by whatever an agent is doing with it."""
    return _ask(server, "kill", desired=D.STOPPED, actor=actor, kill=True)


def delete_server(server: GameServer, *, actor: Asker) -> Operation | None:
    """End it and remove it with all its data; its addresses rest and return. None when that was asked already."""
    return _ask(server, "delete", desired=D.DELETED, actor=actor)


def _ask(
    server: GameServer, verb: str, *, desired: DesiredStatus, actor: Asker, kill: bool = False
) -> Operation | None:
    state.may(actor, verb, server)
    with transaction.atomic():
        locked = state.lock(server)
        if _is_asked_already(locked, verb):
            operation = None
        else:
            state.check(locked, verb)
            operation = operations.wish(locked, verb=verb, actor=actor, desired=desired, kill=kill)
            audit.record(actor, f"server.{DONE[verb]}", locked)
    state.refresh(server, locked)
    return operation


def _is_asked_already(server: GameServer, verb: str) -> bool:
    """Asking twice is no mistake: the second changes nothing and is no error."""
    if verb == "delete":
        return server.desired_status == D.DELETED
    if server.desired_status == D.DELETED or server.admin_state:
        return False
    if verb == "start":
        in_the_way = (S.FAILED, S.CRASHED, S.LOST)
        return server.desired_status == D.RUNNING and server.observed_status not in in_the_way
    if verb == "stop":
        return server.desired_status == D.STOPPED
    if verb == "kill":
        return server.desired_status == D.STOPPED and (
            server.is_kill_wanted or server.observed_status in (S.STOPPED, S.FAILED)
        )
    return False
