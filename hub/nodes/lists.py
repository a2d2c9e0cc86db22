"""What the lists of regions, nodes, pools, addresses and operations can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from hub.pages import states
from hub.pages.lists import YES_NO, Chip, Column, Spec, Tab
from hub.statements import statement

from .choices import OPEN_OPERATIONS, AddressState, EngineKind, OperationStatus, PoolKind
from .models import Node, Region

VERBS = ("create", "start", "stop", "restart", "kill", "delete")


def region_choices(request: HttpRequest) -> list[tuple[str, str]]:
    regions = statement("region choices", lambda: Region.objects.values_list("slug", "name"))
    return [(slug, name) for slug, name in regions.rows()]


def node_choices(request: HttpRequest) -> list[tuple[str, str]]:
    user: Any = request.user
    nodes = statement(("node choices", user.reach), lambda: Node.objects.visible_to(user).values_list("name"))
    return [(name, name) for (name,) in nodes.rows()]


def find_region(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Regions by name or slug."""
    return rows.filter(Q(name__icontains=text) | Q(slug__icontains=text))


def find_node(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Nodes by name."""
    return rows.filter(name__icontains=text)


def find_pool(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Pools by name or the beginning of their IP."""
    return rows.filter(Q(name__icontains=text) | Q(first_ip__startswith=text))


def find_address(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Addresses by port, the beginning of the IP, both, or what is said of them."""
    ip, _, port = text.rpartition(":") if text.count(":") == 1 else ("", "", text)
    if is_port(port):
        return rows.filter(port=int(port), **({"ip__startswith": ip} if ip else {}))
    return rows.filter(Q(ip__startswith=text) | Q(port_name__icontains=text) | Q(reason__icontains=text))


def find_operation(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Operations by workload, person or request id."""
    return rows.filter(Q(workload_name__icontains=text) | Q(request_id=text) | Q(actor_name=text))


def find_task(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Tasks of nodes by what they are about, person or request id."""
    return rows.filter(Q(subject__icontains=text) | Q(request_id=text) | Q(actor_name=text))


def is_port(text: str) -> bool:
    return len(text) <= 5 and text.isascii() and text.isdigit() and int(text) <= 65535


REGIONS = Spec(
    key="regions",
    columns=(
        Column("name", "Name", order="name", value=lambda region: region.name, is_fixed=True),
        Column("slug", "Slug", order="slug", value=lambda region: region.slug),
        Column("position", "Position", order="position", value=lambda region: region.position, is_default=False),
        Column("nodes", "Nodes", value=lambda region: region.node_count),
        Column("status", "Offered", value=lambda region: "on" if region.is_enabled else "off", is_fixed=True),
    ),
    chips=(Chip("is_enabled", "Offered", lambda request: YES_NO),),
    search=find_region,
    search_hint="Name or slug",
    order="position",
)

NODES = Spec(
    key="nodes",
    columns=(
        Column("name", "Name", order="name", value=lambda node: node.name, is_fixed=True),
        Column("status", "Status", value=lambda node: "alive" if node.is_agent_alive else "not seen", is_fixed=True),
        Column("engine", "Engine", order="engine", value=lambda node: node.engine),
        Column("region", "Region", order="region__position", value=lambda node: node.region.name),
        Column("servers", "Workloads"),
        Column("memory", "Memory promised"),
        Column("cpu", "Processor promised"),
        Column("disk", "Disk promised", is_default=False),
        Column("seen", "Last seen", order="agent_seen_at", value=lambda node: node.agent_seen_at),
    ),
    chips=(
        Chip("region", "Region", region_choices, "region__slug"),
        Chip("engine", "Engine", lambda request: EngineKind.choices),
    ),
    search=find_node,
    search_hint="Name",
    order="name",
)

POOLS = Spec(
    key="pools",
    columns=(
        Column("name", "Pool", order="name", value=lambda pool: pool.name, is_fixed=True),
        Column("use", "In use", css="k-share", is_fixed=True),
        Column("free", "Free", order="free_count", value=lambda pool: pool.free_count),
        Column("leased", "Leased", order="leased_count", value=lambda pool: pool.leased_count),
        Column("resting", "Resting", order="quarantined_count", value=lambda pool: pool.quarantined_count),
        Column("blocked", "Blocked", order="blocked_count", value=lambda pool: pool.blocked_count),
        Column("node", "Node", order="node__name", value=lambda pool: pool.node.name),
        Column("kind", "Kind", order="kind", value=lambda pool: pool.get_kind_display()),
        Column("status", "Status", value=lambda pool: "on" if pool.is_enabled else "off"),
    ),
    chips=(
        Chip("node", "Node", node_choices, "node__name"),
        Chip("kind", "Kind", lambda request: PoolKind.choices),
    ),
    search=find_pool,
    search_hint="Name or IP",
    order="node__name",
)

ADDRESSES = Spec(
    key="addresses",
    columns=(
        Column("address", "Address", order="port", value=str, is_fixed=True),
        Column("state", "State", order="state", value=lambda address: address.state, is_fixed=True),
        Column("holder", "Held by", value=lambda address: address.holder),
        Column("port", "For", order="port_name", value=lambda address: address.port_name),
        Column("since", "Since", order="leased_at", value=lambda address: address.leased_at),
    ),
    chips=(Chip("state", "State", lambda request: states.choices("address")),),
    tabs=(
        Tab("leased", "Leased", lambda user: Q(state=AddressState.LEASED)),
        Tab("resting", "Resting", lambda user: Q(state=AddressState.QUARANTINED)),
        Tab("blocked", "Blocked", lambda user: Q(state=AddressState.BLOCKED)),
        Tab("free", "Free", lambda user: Q(state=AddressState.FREE)),
    ),
    search=find_address,
    search_hint="Port, IP or reason",
    order="ip",
)

OPERATIONS = Spec(
    key="operations",
    columns=(
        Column("what", "Asked for", order="verb", value=lambda row: f"{row.verb} {row.workload_name}", is_fixed=True),
        Column("fate", "Fate", order="status", value=lambda row: row.status, is_fixed=True),
        Column("by", "By", order="actor_name", value=lambda row: row.actor_name),
        Column("node", "Node", order="node__name", value=lambda row: row.node.name if row.node else ""),
        Column("took", "Took", value=lambda row: row.seconds),
        Column("request", "Request", value=lambda row: row.request_id, is_default=False),
        Column("when", "When", order="created_at", value=lambda row: row.created_at),
        Column("error", "Error", value=lambda row: row.error, is_default=False),
    ),
    chips=(
        Chip("status", "Fate", lambda request: states.choices("operation")),
        Chip(
            "verb",
            "Verb",
            lambda request: [(verb, verb.capitalize()) for verb in VERBS],
        ),
        Chip("node", "Node", node_choices, "node__name"),
    ),
    tabs=(
        Tab("open", "Open", lambda user: Q(status__in=OPEN_OPERATIONS)),
        Tab("failed", "Failed", lambda user: Q(status=OperationStatus.FAILED)),
        Tab("mine", "Mine", lambda user: Q(actor=user.pk)),
    ),
    search=find_operation,
    search_hint="Server, person or request id",
    order="-created_at",
)
OPERATIONS_OF_ONE = replace(
    OPERATIONS,
    key="operations-of-one",
    columns=tuple(column for column in OPERATIONS.columns if column.key != "node"),
    chips=tuple(chip for chip in OPERATIONS.chips if chip.name != "node"),
    tabs=(),
    search_hint="Person or request id",
)
