"""What the lists of servers and of templates can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_ipv46_address
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.permissions import can, reaches_any
from hub.nodes.choices import BROKEN, IN_PROGRESS, DesiredStatus, ObservedStatus
from hub.nodes.lists import is_port, node_choices, region_choices
from hub.nodes.models import Address
from hub.pages import states
from hub.pages.lists import YES_NO, Chip, Column, Spec, Tab
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


def of_games(rows: QuerySet[Any], games: list[str]) -> QuerySet[Any]:
    """Templates of one of these games, however they are written."""
    found = Q()
    for game in games:
        found |= Q(game__iexact=game)
    return rows.filter(found)


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


def _games(request: HttpRequest) -> list[tuple[str, str]]:
    games = Template.objects.visible_to(request.user).order_by("game").values_list("game", flat=True).distinct()
    return [(game, game) for game in games]


TEMPLATES = Spec(
    key="templates",
    columns=(
        Column("name", "Name", order="name", value=lambda template: template.name, is_fixed=True),
        Column("game", "Game", order="game", value=lambda template: template.game),
        Column("memory", "Memory", order="default_memory_mb", value=lambda template: template.default_memory_mb),
        Column("disk", "Disk", order="default_disk_mb", value=lambda template: template.default_disk_mb),
        Column("engines", "Runs on", value=lambda template: ", ".join(sorted(template.engines))),
        Column("servers", "Servers", value=lambda template: template.server_count),
        Column("slug", "Slug", order="slug", value=lambda template: template.slug, is_default=False),
        Column("offered", "Offered", value=lambda template: "on" if template.is_published else "off"),
    ),
    chips=(
        Chip("game", "Game", _games, by=of_games),
        Chip("is_published", "Offered", lambda request: YES_NO),
    ),
    search=find_template,
    search_hint="Name, game or slug",
    order="name",
)


def templates_for(user: Any) -> Spec:
    """Who sees only his own servers is not told how many others have, and who changes none sees those offered only."""
    left_out = set()
    if not reaches_any(user, "servers.view"):
        left_out.add("servers")
    if not can(user, "templates.change"):
        left_out |= {"offered", "is_published"}
    return replace(
        TEMPLATES,
        columns=tuple(column for column in TEMPLATES.columns if column.key not in left_out),
        chips=tuple(chip for chip in TEMPLATES.chips if chip.name not in left_out),
    )
