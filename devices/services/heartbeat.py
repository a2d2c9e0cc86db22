"""A heartbeat: believe it, store what it says and take its counter in one UPDATE, and answer what is wanted."""

from __future__ import annotations

import random
import time
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest

from hub.failpoints import declare, failpoint

from .. import claims, offers, reports

declare("devices.beat_taken", "devices.beat_answered")

JITTER: Final = 0.1

_MORE: Final = (
    ", health = coalesce(%s, health), agent_version = coalesce(%s, agent_version), memory_mb = %s, cpu_percent = %s"
    ", disk_percent = %s, load = %s"
    ", bundle_version = coalesce(%s, bundle_version), config_version = coalesce(%s, config_version)"
)


def take_heartbeat(request: HttpRequest, device_id: UUID) -> dict[str, Any]:
    """Answer a signed heartbeat. Raises `DeviceRefused` or `Invalid`; nothing is stored then."""
    known, signed = claims.check(request, device_id)
    claims.count_request(known.device_id)
    report = reports.read(request.body)
    values = (
        report.health,
        report.agent_version,
        report.memory_mb,
        report.cpu_percent,
        report.disk_percent,
        report.load,
        report.bundle_version,
        report.config_version,
    )
    wanted = ", beat.interval_seconds" + offers.conditions()
    claimed = claims.take(known, signed, more=_MORE, values=values, wanted=wanted)
    interval, *found = claimed.row
    failpoint("devices.beat_taken")
    commands = offers.fetch(device_id, report, tuple(found))
    failpoint("devices.beat_answered")
    return {
        "commands": commands,
        "polling_interval": interval,
        "next_in_seconds": spread(interval),
        "server_time": int(time.time()),
    }


def spread(interval: int) -> float:
    """When to call next: the interval give or take a tenth, so that devices that started together drift apart."""
    return round(interval * random.uniform(1 - JITTER, 1 + JITTER), 1)  # noqa: S311 - spreads load, hides nothing
