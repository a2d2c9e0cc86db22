"""Devices as monitoring knows them: their samples, made from the heartbeats of each minute, and who may see them.

A heartbeat writes one narrow row and nothing else. Once a minute what these rows say is copied into the samples, all in
one batch whose number is the time up to which heartbeats were taken: it moves in the same transaction, so none is
stored twice, and after a pause the newest heartbeat of each device is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.urls import reverse

from monitoring import store
from monitoring.measure import Reading
from monitoring.models import Event, Feed
from monitoring.subjects import Subject

from .choices import Health
from .models import Device
from .querysets import OFFLINE_FACTOR, OFFLINE_GRACE_SECONDS

FEED: Final = UUID("350f92ef-3d67-5bae-9a92-28aa624399f6")
MIB: Final = 2.0**20
SILENT: Final = "Offline: it has fallen silent."
BACK: Final = "It calls again."
_NEWER = """
    SELECT device_id, last_seen_at, cpu_percent, memory_mb, disk_percent, load FROM devices_devicebeat
    WHERE last_seen_at > %s AND last_seen_at <= %s
"""
_NOTE = """
    UPDATE devices_devicebeat beat SET noted = now.said
    FROM devices_devicebeat old, devices_device device, LATERAL (
        SELECT ARRAY[old.health, old.bundle_version, old.agent_version, CASE WHEN device.status = 'accepted'
            AND old.last_seen_at < now() - make_interval(secs => old.interval_seconds * %s + %s)
            THEN 'offline' ELSE '' END]::varchar(100)[] AS said
    ) now
    WHERE old.device_id = beat.device_id AND device.id = beat.device_id AND old.last_seen_at IS NOT NULL
        AND old.noted IS DISTINCT FROM now.said
    RETURNING beat.device_id, old.noted, beat.noted, beat.last_seen_at, now()
"""


def sample_devices() -> int:
    """Store what the heartbeats since the last run said, and mark changes; says of how many devices."""
    note_changes()
    known = Feed.objects.filter(pk=FEED).values_list("sequence", flat=True).first()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (until,) = cursor.fetchone()
        since = _moment(known) if known else until - timedelta(minutes=2)
        cursor.execute(_NEWER, [since, until])
        lines = [_reading(*row).line() for row in cursor]
    store.store_batch(lines, feed=FEED, name="devices", sequence=_number(until))
    return len(lines)


def _reading(device: UUID, at: datetime, cpu: Any, memory_mb: Any, disk: Any, load: Any) -> Reading:
    said = {
        "cpu_share": cpu,
        "memory_bytes": None if memory_mb is None else memory_mb * MIB,
        "disk_share": disk,
        "load": load,
    }
    return Reading(f"device:{device}", at, {name: value for name, value in said.items() if value is not None})


def _number(at: datetime) -> int:
    """Microseconds since 1970: rising, and a time again."""
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _moment(number: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)


def note_changes() -> int:
    """Mark in the charts what has changed of health and versions since the last look, and who is silent or back."""
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, [OFFLINE_FACTOR, OFFLINE_GRACE_SECONDS])
        rows = cursor.fetchall()
    found = [event for row in rows for event in _changes(*row)]
    Event.objects.bulk_create(found)
    return len(found)


def _changes(device: UUID, old: list[str], new: list[str], at: datetime, now: datetime) -> Iterable[Event]:
    if not old:  # its first look: nothing has changed
        return
    subject = f"device:{device}"
    if old[0] != new[0]:
        kind = Event.Kind.NOTE if new[0] == Health.HEALTHY else Event.Kind.UNHEALTHY
        yield Event(subject=subject, kind=kind, text=f"Says it is {new[0] or 'nothing'}.", at=at)
    if old[1] != new[1]:
        text = f"Runs {new[1]}" + (f", before {old[1]}." if old[1] else ".")
        yield Event(subject=subject, kind=Event.Kind.DEPLOYED, text=text, at=at)
    if old[2] != new[2]:
        yield Event(subject=subject, kind=Event.Kind.NOTE, text=f"Agent {new[2]}, before {old[2] or 'none'}.", at=at)
    if (was_silent := old[3:] == ["offline"]) != (new[3] == "offline"):
        kind, text, moment = (Event.Kind.STARTED, BACK, at) if was_silent else (Event.Kind.STOPPED, SILENT, now)
        yield Event(subject=subject, kind=kind, text=text, at=moment)


def find_devices(user: Any, ids: Collection[str]) -> Iterable[Subject]:
    """The devices with these ids that the person may see; no user is the hub itself."""
    keys = [key for key in map(_uuid, ids) if key]
    rows = Device.objects.all() if user is None else Device.objects.visible_to(user)
    for pk, name, region, hardware in rows.filter(pk__in=keys).values_list("pk", "name", "region__slug", "hardware"):
        yield subject_of(pk, name, region, hardware)


def subject_of(pk: UUID, name: str, region: str | None, hardware: dict[str, Any] | None = None) -> Subject:
    """A device as a subject, with the limits that it told of itself."""
    limits = {"cpu_share": 100.0, "disk_share": 100.0}
    total = (hardware or {}).get("total_memory_mb")
    if isinstance(total, int | float) and not isinstance(total, bool) and total > 0:
        limits["memory_bytes"] = total * MIB
    return Subject(f"device:{pk}", name, reverse("devices:device_detail", args=[pk]), region or "", None, limits)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
