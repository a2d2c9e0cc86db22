"""Suspend a server: it is stopped and stays so, with its data, until somebody of the house lifts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts import audit
from hub.exceptions import Conflict
from hub.nodes import operations
from hub.nodes.choices import AdminState, DesiredStatus
from hub.nodes.models import Operation
from servers.choices import TrialStatus
from servers.models import GameServer, TemplateTrial

from . import state

if TYPE_CHECKING:
    from accounts.actors import Asker


def suspend_server(server: GameServer, *, actor: Asker, reason: str) -> Operation:
    """Stop it and forbid its start; the owner sees the reason.

    One that tries a template is refused: suspended it could not be removed, and its trial would never end.
    """
    state.may(actor, "suspend", server)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "suspend")
        if TemplateTrial.objects.filter(server=locked, status=TrialStatus.RUNNING).exists():
            raise Conflict("It tries a template and is removed by itself: stop or delete it instead.", code="not_now")
        locked.admin_state = AdminState.SUSPENDED
        locked.suspension_reason = reason.strip()[:300]
        locked.save(update_fields=["admin_state", "suspension_reason"])
        operation = operations.wish(locked, verb="suspend", actor=actor, desired=DesiredStatus.STOPPED)
        audit.record(actor, "server.suspended", locked, reason=locked.suspension_reason)
    state.refresh(server, locked)
    return operation


def unsuspend_server(server: GameServer, *, actor: Asker) -> GameServer:
    """Let it be started again; that is the owner's to do."""
    state.may(actor, "unsuspend", server)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "unsuspend")
        locked.admin_state, locked.suspension_reason = AdminState.NONE, ""
        locked.save(update_fields=["admin_state", "suspension_reason"])
        audit.record(actor, "server.unsuspended", locked)
    state.refresh(server, locked)
    return server
