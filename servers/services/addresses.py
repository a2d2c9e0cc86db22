"""Move, publish and withdraw a server's ports. What runs is restarted, because it is bound to the old address."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.permissions import can
from hub.exceptions import Conflict, Invalid, LimitReached, TooMany
from hub.nodes import leases, operations
from hub.nodes.choices import DesiredStatus
from hub.nodes.models import Address, Operation
from hub.nodes.workloads import PortRequest
from servers.models import GameServer
from servers.ports import TemplatePort

from . import state

if TYPE_CHECKING:
    from accounts.actors import Asker

MOVES_EVERY_SECONDS = 60


def move_port(server: GameServer, *, actor: Asker, port_name: str, reason: str) -> Operation | None:
    """Give up an address that does not work out and take another; answers the restart, None when it did not run.

    When those who run the nodes ask, the old address is blocked with the reason until they put it back into use; else
    it rests like any other, and the next move of this port must wait a minute.
    """
    state.may(actor, "move_port", server)
    reason = reason.strip()[:200] or "Given up."
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "move_port")
        old = Address.objects.held_by(locked.pk).select_related("pool").filter(port_name=port_name).first()
        if old is None:
            raise Invalid(f"It holds no address for a port {port_name}.", field="port_name")
        is_blocking = can(actor, "addresses.release_any", locked)
        if not is_blocking:
            _refuse_haste(old)
        new = _swap(locked, old, PortRequest(port_name, is_public=old.pool.is_public))
        if is_blocking:
            leases.block(old, reason=reason)
        audit.record(actor, "server.port_moved", locked, port=port_name, old=str(old), new=str(new), reason=reason)
        operation = _rebind(locked, "move-port", actor)
    state.refresh(server, locked)
    return operation


def publish_port(server: GameServer, *, actor: Asker, port_name: str) -> Operation | None:
    """Open a port that is not public by itself, such as RCON, to everybody."""
    return _set_published(server, actor=actor, port_name=port_name, is_published=True)


def unpublish_port(server: GameServer, *, actor: Asker, port_name: str) -> Operation | None:
    """Withdraw a published port."""
    return _set_published(server, actor=actor, port_name=port_name, is_published=False)


def _set_published(server: GameServer, *, actor: Asker, port_name: str, is_published: bool) -> Operation | None:
    state.may(actor, "publish_port", server)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "publish_port")
        port = _own_port(locked, port_name)
        published = set(locked.published_ports)
        if (port_name in published) == is_published:
            return None
        locked.published_ports = sorted(published ^ {port_name})
        locked.save(update_fields=["published_ports"])
        _follow_wanted(locked, port)
        verb = "publish-port" if is_published else "unpublish-port"
        audit.record(actor, f"server.port_{'published' if is_published else 'withdrawn'}", locked, port=port_name)
        operation = _rebind(locked, verb, actor)
    state.refresh(server, locked)
    return operation


def _own_port(server: GameServer, port_name: str) -> TemplatePort:
    port = server.template.port(port_name)
    if port is None:
        raise Invalid(f"There is no port {port_name}.", field="port_name")
    if port.is_public:
        raise Conflict("This port is for players and always public.", code="not_now", field="port_name")
    return port


def _follow_wanted(server: GameServer, port: TemplatePort) -> None:
    """Hold or wait for this port as `ports_wanted` now says, and nothing else."""
    all_wanted = server.ports_wanted()
    wanted = next((want for want in all_wanted if want.name == port.name), None)
    was_waiting = leases.leave_queue(server.pk, but_for=[want.name for want in all_wanted if want != wanted])
    old = Address.objects.held_by(server.pk).select_related("pool").filter(port_name=port.name).first()
    if wanted is not None and was_waiting:
        leases.queue_for_ports(server, [wanted])
    elif wanted is not None:
        _swap(server, old, wanted)
    elif old is not None:
        _rest(server, old)


def _swap(server: GameServer, old: Address | None, wanted: PortRequest) -> Address:
    leased = leases.lease_ports(node=server.node, holder=server.pk, wanted=[wanted])
    if not leased:
        raise LimitReached(f"{server.node.region.name} has no free address at present.", code="pool_full")
    if old is not None:
        _rest(server, old)
    return Address.objects.get(pk=leased[0].id)


def _rest(server: GameServer, old: Address) -> None:
    """Release an address; its rest begins when the run that is bound to it has had its time to end."""
    leases.release(server.pk, ids=[old.pk])
    grace = timedelta(seconds=server.stop_grace_seconds)
    Address.objects.filter(pk=old.pk).update(rest_until=F("rest_until") + grace)


def _rebind(server: GameServer, verb: str, actor: Asker) -> Operation | None:
    if server.desired_status != DesiredStatus.RUNNING:
        return None
    return operations.wish(server, verb=verb, actor=actor, desired=DesiredStatus.RUNNING)


def _refuse_haste(old: Address) -> None:
    if old.leased_at is None:
        return
    wait = MOVES_EVERY_SECONDS - (timezone.now() - old.leased_at).total_seconds()
    if wait > 0:
        raise TooMany("This address was given a moment ago; try again in a minute.", retry_after=max(1, int(wait)))
