"""Change what a server is called, may use and is told; what runs takes it at its next start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction

from accounts import audit, quotas
from accounts.permissions import can
from accounts.roles import QuotaLimits
from hub.exceptions import Conflict, LimitReached
from hub.nodes import placement
from hub.nodes.models import Node
from servers import names, usage, variables
from servers.limits import WORDS, check_limits
from servers.models import GameServer

from . import state

if TYPE_CHECKING:
    from accounts.actors import Asker


def rename_server(
    server: GameServer, *, actor: Asker, name: str | None = None, description: str | None = None
) -> GameServer:
    """Give it another name or description; what is None stays. The engine's own name of it does not change."""
    state.may(actor, "rename", server)
    name = None if name is None else names.clean_name(name)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "rename")
        before = {"name": locked.name, "description": locked.description}
        if name is not None:
            locked.name = name
        if description is not None:
            locked.description = names.clean_description(description)
        try:
            with transaction.atomic():
                locked.save(update_fields=["name", "description"])
        except IntegrityError:
            raise Conflict("You have a server of this name already.", code="name_taken", field="name") from None
        after = {"name": locked.name, "description": locked.description}
        audit.record(actor, "server.renamed", locked, **audit.changes(before, after))
    state.refresh(server, locked)
    return server


def resize_server(
    server: GameServer,
    *,
    actor: Asker,
    memory_mb: int | None = None,
    disk_mb: int | None = None,
    cpu_percent: int | None = None,
) -> GameServer:
    """Change its limits within quota, node and template; what is None stays, and what falls always fits the node.

    Locks owner, node and server in that order, as creation does.
    """
    state.may(actor, "resize", server)
    with transaction.atomic():
        owner = quotas.lock_owner(server.owner)
        node = Node.objects.select_for_update(no_key=True).get(pk=server.node_id)
        locked = state.lock(server)
        state.check(locked, "resize")
        before = {name: getattr(locked, name) for name in WORDS}
        asked = {"memory_mb": memory_mb, "disk_mb": disk_mb, "cpu_percent": cpu_percent}
        after = before | {name: value for name, value in asked.items() if value is not None}
        check_limits(locked.template, **after)
        more = QuotaLimits(**{name: max(0, after[name] - before[name]) for name in WORDS})
        used = usage.of_owner(owner)
        quotas.check_quota(used.limits, used.totals, more)
        rising = {name: value for name, value in after.items() if value > before[name]}
        if short := placement.shortage(node, rising, already=before):
            raise LimitReached(f"{node.region.name} has no room for that much.", code="region_full", field=short)
        for name, value in after.items():
            setattr(locked, name, value)
        locked.config_version += after != before
        locked.save(update_fields=[*after, "config_version"])
        audit.record(actor, "server.resized", locked, **audit.changes(before, after))
    state.refresh(server, locked)
    return server


def update_variables(server: GameServer, *, actor: Asker, values: Mapping[str, Any]) -> GameServer:
    """Set some of its variables; the others keep their values."""
    state.may(actor, "update_variables", server)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "update_variables")
        before = variables.of_server(locked)
        offered = locked.template.variables.all()
        after = variables.settle(offered, values, may_edit_all=can(actor, "templates.change"), before=before)
        if after != before:
            locked.values = after.plain
            locked.secret_values = variables.dump_secrets(after)
            locked.config_version += 1
            locked.save(update_fields=["values", "secret_values", "config_version"])
            audit.record(actor, "server.variables_changed", locked, changed=_changed(before, after))
            locked.refresh_from_db(fields=["secret_values"])
    state.refresh(server, locked)
    return server


def _changed(before: variables.Settings, after: variables.Settings) -> list[str]:
    """Names only: a value may be private even where it is not secret."""
    old, new = before.plain | before.secret, after.plain | after.secret
    return sorted(key for key in new if new[key] != old.get(key))
