"""What alert rules can ask of devices: who is late or silent, and who says that it is not well.

When a whole site or the hub itself loses its line, thousands of devices fall silent at once. Those silent the longest
get an alert each, and the rest one alert together, so that people hear of it and are not buried.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q
from django.urls import reverse

from hub.pages.templatetags.ui import span
from monitoring.alerts.choices import Severity
from monitoring.alerts.conditions import Condition, Hit
from monitoring.alerts.conditions import register as register_conditions
from monitoring.alerts.defaults import ship
from monitoring.alerts.models import AlertRule
from monitoring.subjects import Subject

from .choices import Health, Liveness
from .measured import subject_of
from .models import Device

MOST_ALERTS: Final = 100
FIELDS: Final = ("pk", "name", "region__slug", "beat__last_seen_at", "beat__health", "beat__interval_seconds")


def offline_devices(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Accepted devices that have missed three of their intervals."""
    return _hits(now, Q(liveness=Liveness.OFFLINE), "offline", "offline")


def overdue_devices(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Accepted devices that have missed one and a half of their intervals, or more."""
    return _hits(now, Q(liveness__in=(Liveness.OVERDUE, Liveness.OFFLINE)), "overdue", "offline")


def unwell_devices(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Devices that call and say that they are in error."""
    return _hits(now, Q(liveness=Liveness.ONLINE, beat__health=Health.ERROR), "unwell", "unwell")


def _hits(now: datetime, which: Q, what: str, view: str) -> Iterable[Hit]:
    rows = Device.objects.accepted().with_liveness().filter(which)
    first: Any = rows.order_by("beat__last_seen_at", "pk").values_list(*FIELDS)[: MOST_ALERTS + 1]
    found = list(first)
    for pk, name, region, seen_at, health, interval in found[:MOST_ALERTS]:
        subject = subject_of(pk, name, region)
        silent = max(0.0, (now - seen_at).total_seconds())
        if what == "unwell":
            yield Hit(subject, None, f"It says: {health}.")
        else:
            text = f"Last heard of {span(timedelta(seconds=silent))} ago; it is to call every {interval} s."
            yield Hit(subject, silent, text, since=seen_at)
    if len(found) > MOST_ALERTS:
        more = rows.count() - MOST_ALERTS
        page = f"{reverse('devices:device_list')}?view={view}"
        yield Hit(Subject(f"devices:{what}", "More devices", page), more, f"{more} more devices are {what}.")


def register() -> None:
    """Tell rules of devices, and ship some; called once by the app config."""
    register_conditions(
        Condition("device-offline", "A device is offline", offline_devices),
        Condition("device-overdue", "A device is overdue or offline", overdue_devices),
        Condition("device-unwell", "A device says it is in error", unwell_devices),
    )
    ship("device-offline", name="Device offline", condition="device-offline", severity=Severity.CRITICAL)
    ship("device-overdue", name="Device overdue", condition="device-overdue", severity=Severity.INFO, is_enabled=False)
    ship("device-unwell", name="Device not well", condition="device-unwell", hold_seconds=60)
