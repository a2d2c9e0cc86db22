"""Create a server: everything that must hold together happens in one transaction, the launch is a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils import timezone

from accounts import audit, quotas
from accounts.actors import System
from accounts.permissions import can, require
from accounts.roles import QuotaLimits
from hub import secrets
from hub.exceptions import Conflict, HubError, Invalid, NotAllowed, TooMany
from hub.nodes import leases, operations, placement
from hub.nodes.models import Node, Region
from hub.nodes.workloads import PortRequest
from hub.postgres.inserts import insert, together
from servers import names, usage, variables
from servers.addresses import ServerAddress, row_of
from servers.launching import ports_wanted
from servers.limits import check_limits
from servers.models import GameServer, Template

if TYPE_CHECKING:
    from accounts.actors import Asker
    from accounts.models import User

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Preview:
    """What a creation with these inputs would come to; nothing is reserved.

    `address` is the likely one, None when the launch would wait at `place_in_queue`; `problem` says why it could not be
    created, with the field at fault. Of `quota_left`, None is unlimited.
    """

    region: Region
    node: Node | None = None
    address: ServerAddress | None = None
    place_in_queue: int | None = None
    quota_left: QuotaLimits | None = None
    problem: HubError | None = None


def create_server(
    *,
    actor: Asker,
    owner: User | None = None,
    name: str,
    template: Template,
    region: Region,
    memory_mb: int,
    disk_mb: int,
    cpu_percent: int | None = None,
    values: Mapping[str, Any] | None = None,
    published_ports: Iterable[str] = (),
    description: str = "",
) -> GameServer:
    """Make a server and ask for its launch.

    Locks the owner first, so that quota and the number of creations in the last hour are exact, then the node. When its
    pool is full the launch waits in line and `status_reason` says where.
    """
    owner = _owner(actor, owner)
    name = names.clean_name(name)
    cpu_percent = _check_shape(template, memory_mb=memory_mb, disk_mb=disk_mb, cpu_percent=cpu_percent, actor=actor)
    may_edit_all = can(actor, "templates.change")
    settled = variables.settle(template.variables.all(), values or {}, may_edit_all=may_edit_all)
    published = _publishable(template, published_ports)
    asked = QuotaLimits(servers=1, memory_mb=memory_mb, cpu_percent=cpu_percent, disk_mb=disk_mb)
    with transaction.atomic():
        used = usage.of_owner(owner, name=name, lock=True)
        _check_rate(used, actor)
        if used.has_name:
            raise Conflict("You have a server of this name already.", code="name_taken", field="name")
        quotas.check_quota(used.limits, used.totals, asked)
        node = _choose_node(template, region, asked)
        server = GameServer(
            name=name,
            owner=owner,
            template=template,
            node=node,
            memory_mb=memory_mb,
            disk_mb=disk_mb,
            cpu_percent=cpu_percent,
            values=settled.plain,
            secret_values=variables.dump_secrets(settled),
            rcon_password=secrets.new_password(),
            published_ports=published,
            description=names.clean_description(description),
            next_check_at=timezone.now(),
        )
        _lease(server)
        with together():
            insert(server)
            operations.record(server, verb="create", actor=actor)
            audit.record(
                actor,
                "server.created",
                server,
                owner=owner.username,
                template=template.slug,
                node=node.name,
                memory_mb=memory_mb,
                disk_mb=disk_mb,
                cpu_percent=cpu_percent,
            )
    return server


def preview_server(
    *,
    actor: Asker,
    owner: User | None = None,
    template: Template,
    region: Region,
    memory_mb: int,
    disk_mb: int,
    cpu_percent: int | None = None,
    values: Mapping[str, Any] | None = None,
    published_ports: Iterable[str] = (),
) -> Preview:
    """Say where it would run and what would be left of the quota, or why it could not be created."""
    try:
        owner = _owner(actor, owner)
        cpu = _check_shape(template, memory_mb=memory_mb, disk_mb=disk_mb, cpu_percent=cpu_percent, actor=actor)
        variables.settle(template.variables.all(), values or {}, may_edit_all=can(actor, "templates.change"))
        published = _publishable(template, published_ports)
        asked = QuotaLimits(servers=1, memory_mb=memory_mb, cpu_percent=cpu, disk_mb=disk_mb)
        used = usage.of_owner(owner)
        quotas.check_quota(used.limits, used.totals, asked)
        _check_rate(used, actor)
        with transaction.atomic():
            node = _choose_node(template, region, asked)
        wanted = ports_wanted(GameServer(node=node, template=template, published_ports=published))
        _check_pools(node, wanted)
    except NotAllowed:
        raise
    except HubError as problem:
        return Preview(region, problem=problem)
    left = quotas.remaining(used.limits, usage.add(used.totals, asked))
    return Preview(region, node, *_likely_address(node, wanted), quota_left=left)


def _owner(actor: Asker, owner: User | None) -> User:
    """Whose server it becomes: one's own, or that of another where the actor may."""
    require(actor, "servers.create")
    me = None if isinstance(actor, System | AnonymousUser) else actor
    if me is not None and owner in (None, me):
        return me  # not the caller's copy: this one knows its roles already
    if owner is None:
        raise ValueError("a server that the hub itself creates needs an owner")
    require(actor, "servers.create_any")
    if not owner.can_act:
        raise Invalid("This account is closed or suspended.", field="owner")
    return owner


def _check_shape(template: Template, *, memory_mb: int, disk_mb: int, cpu_percent: int | None, actor: Asker) -> int:
    if not template.is_published and not can(actor, "templates.change"):
        raise Invalid("There is no such template.", field="template")
    cpu_percent = template.default_cpu_percent if cpu_percent is None else cpu_percent
    check_limits(template, memory_mb=memory_mb, disk_mb=disk_mb, cpu_percent=cpu_percent)
    return cpu_percent


def _check_rate(used: usage.Usage, actor: Asker) -> None:
    """At most so many creations in an hour, those deleted since included."""
    if isinstance(actor, System) or used.created_lately < settings.HUB_CREATES_PER_HOUR:
        return
    wait = HOUR - (timezone.now() - used.first_lately) if used.first_lately else HOUR
    raise TooMany(
        f"At most {settings.HUB_CREATES_PER_HOUR} servers can be created in an hour.",
        retry_after=max(1, int(wait.total_seconds())),
    )


def _choose_node(template: Template, region: Region, asked: QuotaLimits) -> Node:
    if not region.is_enabled:
        raise Invalid(f"{region.name} takes no servers at present.", field="region")
    demand = {name: getattr(asked, name) for name in placement.RESOURCES}
    return placement.choose_node(
        region=region,
        engines=template.engines,
        demand=demand,
        needs_isolation=template.needs_isolation,
        accepts=template.runs_on,
    )


def _publishable(template: Template, wanted: Iterable[str]) -> list[str]:
    names_wanted = sorted(set(wanted))
    for name in names_wanted:
        port = template.port(name)
        if port is None or port.is_public:
            raise Invalid(f"There is no port {name} to publish.", field="published_ports")
    return names_wanted


def _lease(server: GameServer) -> None:
    wanted = server.ports_wanted()
    leased = leases.lease_ports(node=server.node, holder=server.pk, wanted=wanted)
    server.address_rows = [row_of(address) for address in leased or ()]
    if leased is None:
        _check_pools(server.node, wanted)
        leases.queue_for_ports(server, wanted)
        server.status_reason = leases.waiting_reason(server.pk)


def _check_pools(node: Node, wanted: Sequence[PortRequest]) -> None:
    if not leases.can_ever_serve(node, wanted):
        reason = f"{node.region.name} has fewer addresses in all than this template needs."
        raise Invalid(reason, field="region", code="no_node")


def _likely_address(node: Node, wanted: Sequence[PortRequest]) -> tuple[ServerAddress | None, int | None]:
    """That of its first port, which is public; or the place at which it would wait."""
    waiting, found = leases.count_waiting(node), leases.likely_address(node, wanted)
    if waiting or found is None:
        return None, waiting + 1
    return ServerAddress(wanted[0].name, str(found.ip), found.port or 0, is_public=True), None
