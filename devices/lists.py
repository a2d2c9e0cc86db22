"""What the lists of devices, groups, enrolment tokens and log lines can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from hub.nodes.lists import region_choices
from hub.pages.lists import Chip, Column, Spec, Tab
from hub.statements import statement

from .choices import WAITING, DeviceStatus, KeyState, Liveness, LogLevel
from .drift import Drift, drifting
from .fleet import tab_counts
from .models import Device, DeviceGroup, DeviceKey, IdentityValues


def find(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Devices by name, number, tag, type, a value of their identity, or how their id or a key's fingerprint begins."""
    found = Q(name__icontains=text) | Q(tags__contains=[text[:40]]) | Q(device_type=text)
    if text.removeprefix("#").isdecimal() and len(text) < 11:
        number = int(text.removeprefix("#"))
        found |= Q(number=number) if number < 2**31 else Q()
    if len(text) >= 4 and all(letter in "0123456789abcdef-" for letter in text.lower()):
        # A range of ids and a look-up of keys, both by an index: joined with keys every device would be looked at.
        digits = text.lower().replace("-", "")[:32]
        found |= Q(id__range=(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))) if digits else Q()
        keys = DeviceKey.objects.filter(fingerprint__startswith=text.lower())
        found |= Q(pk__in=keys.order_by().values("device_id"))
    # Likewise by its index: such as a serial number, whole and as the device says it.
    told = [text, int(text)] if text.isdecimal() and len(text) < 16 else [text]
    values: QuerySet[Any] = Device.objects.order_by().alias(told=IdentityValues("identity"))
    for value in told:
        found |= Q(pk__in=values.filter(told__contains=[value]).values("pk"))
    return rows.filter(found)


def find_group(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Groups by name or slug."""
    return rows.filter(Q(name__icontains=text) | Q(slug__icontains=text))


def find_token(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Enrolment tokens by name or how they begin."""
    return rows.filter(Q(name__icontains=text) | Q(hint__startswith=text))


def find_line(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Log lines by what they say or where they come from."""
    return rows.filter(Q(message__icontains=text) | Q(source=text))


def group_choices(request: HttpRequest) -> list[tuple[str, str]]:
    rows = statement("device group choices", lambda: DeviceGroup.objects.values_list("slug", "name"))
    return [(slug, name) for slug, name in rows.rows()]


def in_groups(rows: QuerySet[Any], slugs: list[str]) -> QuerySet[Any]:
    """Devices in any of these groups, each once."""
    members = Device.groups.through._default_manager.filter(devicegroup__slug__in=slugs)
    return rows.filter(pk__in=members.values("device_id"))


MOST_TYPES = 100
_TYPES = """
    WITH RECURSIVE kind (name) AS (
        (SELECT device_type FROM devices_device WHERE device_type > '' ORDER BY device_type LIMIT 1)
        UNION ALL
        SELECT (SELECT device_type FROM devices_device WHERE device_type > kind.name ORDER BY device_type LIMIT 1)
        FROM kind WHERE kind.name IS NOT NULL
    )
    SELECT name FROM kind WHERE name IS NOT NULL LIMIT %s
"""


def type_choices(request: HttpRequest) -> list[tuple[str, str]]:
    """The types there are, each found by one step in the index: `distinct` would look at every device."""
    with connection.cursor() as cursor:
        cursor.execute(_TYPES, [MOST_TYPES])
        return [(kind, kind) for (kind,) in cursor.fetchall()]


DEVICES = Spec(
    key="devices",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("seen", "Last seen", order="beat__last_seen_at", value=lambda row: row.beat.last_seen_at),
        Column("health", "Health", value=lambda row: row.beat.health),
        Column("version", "Runs", value=lambda row: row.beat.bundle_version),
        Column("agent", "Agent", value=lambda row: row.beat.agent_version, is_default=False),
        Column("type", "Type", order="device_type", value=lambda row: row.device_type),
        Column("groups", "Groups", value=lambda row: " ".join(group.slug for group in row.groups.all())),
        Column("tags", "Tags", value=lambda row: " ".join(row.tags), is_default=False),
        Column("history", "Last hour", css="k-xl-only"),
        Column("region", "Region", order="region__position", value=lambda row: row.region_slug, css="k-xl-only"),
        Column(
            "registered", "Registered", order="registered_at", value=lambda row: row.registered_at, is_default=False
        ),
        Column("number", "Number", order="number", value=lambda row: row.number, is_default=False),
        Column("id", "Id", value=lambda row: row.pk, is_default=False),
    ),
    chips=(
        Chip("status", "Status", lambda request: DeviceStatus.choices),
        Chip("liveness", "Calls", lambda request: Liveness.choices),
        Chip("group", "Group", group_choices, by=in_groups),
        Chip("type", "Type", type_choices, "device_type"),
        Chip("region", "Region", region_choices, "region__slug"),
        Chip("drift", "Not as wanted", lambda request: Drift.choices, by=drifting),
    ),
    tabs=(
        Tab("waiting", "To decide", lambda user: Q(status=DeviceStatus.PENDING) | Q(pk__in=_proposing())),
        Tab("accepted", "Accepted", lambda user: Q(status=DeviceStatus.ACCEPTED)),
        Tab("offline", "Offline", lambda user: Q(status=DeviceStatus.ACCEPTED, liveness=Liveness.OFFLINE)),
        Tab("unwell", "Unwell", lambda user: Q(status=DeviceStatus.ACCEPTED, beat__health__in=("degraded", "error"))),
    ),
    search=find,
    search_hint="Name, number, tag, serial, id or key",
    order="name",
    counts=tab_counts,
)


def _proposing() -> Any:
    """Devices in use for which another key is proposed."""
    return Device.objects.filter(keys__state=KeyState.PROPOSED).values("pk")


ENROLMENT = Spec(
    key="enrolment",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("key", "Key", value=lambda row: " ".join(key.fingerprint for key in row.keys.all()), is_fixed=True),
        Column("type", "Type", order="device_type", value=lambda row: row.device_type),
        Column("region", "Region", order="region__position", value=lambda row: row.region_slug),
        Column("registered", "Since", order="registered_at", value=lambda row: row.registered_at),
    ),
    tabs=(
        Tab("new", "New", lambda user: Q(status=DeviceStatus.PENDING)),
        Tab("keys", "Another key", lambda user: Q(pk__in=_proposing()) & ~Q(status=DeviceStatus.PENDING)),
        Tab("expected", "Preauthorised", lambda user: Q(status=DeviceStatus.PREAUTHORISED)),
    ),
    search=find,
    search_hint="Name, number, tag, serial, id or key",
    order="-registered_at",
)


def in_queue() -> Q:
    """Devices that somebody has to decide about, and those that are expected."""
    # As a union, because each half has its index and "one or the other" would look at every device, on every page.
    waiting = Device.objects.filter(status__in=WAITING).order_by().values("pk")
    return Q(pk__in=waiting.union(_proposing())) & ~Q(status=DeviceStatus.DECOMMISSIONED)


GROUPS = Spec(
    key="device-groups",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("members", "Devices", value=lambda row: row.members),
        Column("priority", "Priority", order="priority", value=lambda row: row.priority),
        Column("description", "Description", value=lambda row: row.description),
        Column("created", "Created", order="created_at", value=lambda row: row.created_at, is_default=False),
    ),
    search=find_group,
    search_hint="Name",
    order="name",
)
TOKENS = Spec(
    key="enrolment-tokens",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("state", "State", value=lambda row: row.state, is_fixed=True),
        Column("hint", "Begins", value=lambda row: row.hint),
        Column("uses", "Used", order="uses", value=lambda row: f"{row.uses} of {row.most_uses}"),
        Column("into", "Into", value=lambda row: row.group.name if row.group else ""),
        Column("region", "Region", value=lambda row: row.region_slug),
        Column("expires", "Expires", order="expires_at", value=lambda row: row.expires_at),
        Column("by", "Made by", value=lambda row: row.created_by, is_default=False),
    ),
    search=find_token,
    search_hint="Name",
    order="-expires_at",
)
LOGS = Spec(
    key="device-logs",
    columns=(
        Column("at", "Time", order="at", value=lambda row: row.at, is_fixed=True),
        Column("device", "Device", value=lambda row: row.device.name, is_fixed=True),
        Column("level", "Level", value=lambda row: row.level),
        Column("source", "Source", value=lambda row: row.source),
        Column("message", "Message", value=lambda row: row.message, is_fixed=True),
    ),
    chips=(Chip("level", "Level", lambda request: LogLevel.choices),),
    search=find_line,
    search_hint="Text or source",
    order="-at",
)
LOGS_OF_ONE = replace(
    LOGS, key="device-log", columns=tuple(column for column in LOGS.columns if column.key != "device"), page_size=100
)
MEMBERS = replace(
    DEVICES,
    key="group-members",
    columns=tuple(
        replace(column, is_default=False) if column.key in ("groups", "region", "type") else column
        for column in DEVICES.columns
    ),
    tabs=(),
    counts=None,
    chips=tuple(chip for chip in DEVICES.chips if chip.name != "group"),
)
