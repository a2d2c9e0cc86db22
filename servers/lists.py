"""What the list of servers can do."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_ipv46_address
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.permissions import reaches_any
from hub.nodes.choices import BROKEN, IN_PROGRESS, DesiredStatus, ObservedStatus
from hub.nodes.lists import is_port, node_choices, region_choices
from hub.nodes.models import Address
from hub.pages import states
from hub.pages.lists import Chip, Column, Spec, Tab
from hub.statements import statement

from .models import Template

SHOWN_STATUSES = [choice for choice in states.choices("workload") if choice[0] != ObservedStatus.DELETED]


def find(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Servers by name, owner, game, address or the beginning of their id."""
    found = Q(name__icontains=text) | Q(owner__username__iexact=text) | Q(template__name__icontains=text)
    ip, _, port = text.rpartition(":")
    if is_port(port) and (ip or len(port) >= 4):
        held = Address.objects.filter(port=int(port), **({"ip": ip} if _is_ip(ip) else {}))
        found |= Q(pk__in=held.exclude(holder=None).values("holder"))
    elif _is_ip(text):
        found |= Q(pk__in=Address.objects.filter(ip=text).exclude(holder=None).values("holder"))
    if len(text) >= 4 and all(letter in "0123456789abcdef-" for letter in text.lower()):
        found |= Q(id__startswith=text.lower())
    return rows.filter(found)


def find_template(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Templates by name, game or slug."""
    return rows.filter(Q(name__icontains=text) | Q(game__icontains=text) | Q(slug__icontains=text))


def _is_ip(text: str) -> bool:
    try:
        validate_ipv46_address(text)
    except ValidationError:
        return False
    return True


def _templates(request: HttpRequest) -> list[tuple[str, str]]:
    user: Any = request.user
    visible = statement(
        ("template choices", user.reach), lambda: Template.objects.visible_to(user).values_list("slug", "name")
    )
    return [(slug, name) for slug, name in visible.rows()]


SERVERS = Spec(
    key="servers",
    columns=(
        Column("name", "Name", order="name", value=lambda server: server.name, is_fixed=True),
        Column("status", "Status", order="observed_status", value=lambda s: s.observed_status, is_fixed=True),
        Column("address", "Address", value=lambda server: str(server.address or "")),
        Column("players", "Players", value=lambda server: server.facts.get("players")),
        Column("cpu", "Processor", order="cpu_percent", value=lambda server: server.cpu_percent),
        Column("memory", "Memory", order="memory_mb", value=lambda server: server.memory_mb),
        Column("disk", "Disk", order="disk_mb", value=lambda server: server.disk_mb, is_default=False),
        Column("history", "Last hour", css="k-xl-only"),
        Column("place", "Node, owner", order="node__name", value=lambda s: f"{s.node.name}, {s.owner.username}"),
        Column("region", "Region", order="node__region__position", value=lambda s: s.region_slug, is_default=False),
        Column(
            "created",
            "Created",
            order="created_at",
            value=lambda server: server.created_at,
            css="k-xl-only",
            is_default=False,
        ),
        Column("id", "Id", value=lambda server: server.pk, is_default=False),
    ),
    chips=(
        Chip("status", "Status", lambda request: SHOWN_STATUSES, "observed_status"),
        Chip("template", "Template", _templates, "template__slug"),
        Chip("region", "Region", region_choices, "node__region__slug"),
        Chip("node", "Node", node_choices, "node__name"),
    ),
    tabs=(
        Tab("mine", "Mine", lambda user: Q(owner=user.pk)),
        Tab("attention", "Needs attention", lambda user: Q(observed_status__in=BROKEN)),
        Tab("progress", "In progress", lambda user: Q(observed_status__in=IN_PROGRESS)),
        Tab("running", "Running", lambda user: Q(observed_status=ObservedStatus.RUNNING)),
        Tab("stopped", "Stopped", lambda user: Q(desired_status=DesiredStatus.STOPPED)),
    ),
    search=find,
    search_hint="Name, address, owner or id",
    order="-created_at",
)


def spec_for(user: Any) -> Spec:
    """Who sees only his own servers needs neither the tab Mine nor a filter by node."""
    if reaches_any(user, "servers.view"):
        return SERVERS
    return Spec(
        key=SERVERS.key,
        columns=SERVERS.columns,
        chips=tuple(chip for chip in SERVERS.chips if chip.name != "node"),
        tabs=tuple(tab for tab in SERVERS.tabs if tab.key != "mine"),
        search=SERVERS.search,
        search_hint="Name, address or id",
        order=SERVERS.order,
    )
