"""For how long samples, events and errors are kept."""

from __future__ import annotations

from datetime import UTC, datetime, time

from django.conf import settings

from hub import retention

from . import rollups, tables
from .alerts.models import Alert, Delivery
from .errors import store as errors
from .models import Event


def _samples() -> retention.Preview:
    """Whole partitions, each a day or a month; the count is of partitions."""
    gone = list(tables.expired())
    days = [datetime.strptime(each.name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() for each in gone]
    oldest = datetime.combine(min(days), time(), UTC) if days else None
    return retention.Preview(len(gone), oldest, sum(each.bytes for each in gone))


def _forget_samples() -> int:
    """Once nothing of them waits to be rolled up."""
    rollups.roll_up()
    return len(tables.drop_expired())


def _samples_keep() -> str:
    raw, minutes, hours = settings.HUB_SAMPLES_DAYS, settings.HUB_MINUTES_DAYS, settings.HUB_HOURS_DAYS
    return f"kept for {raw} days as measured, {minutes} days by minute, {hours} days by hour (counted in partitions)"


def _days() -> str:
    return f"kept for {settings.HUB_ERROR_DAYS} days after they came about last"


SAMPLES = retention.Rule("samples", "Samples and rollups", _samples_keep, _samples, _forget_samples)

ALERTS = retention.of_rows(
    "alerts",
    "Alerts",
    lambda: f"kept for {settings.HUB_ALERT_DAYS} days after their end, with the messages about them",
    lambda: Alert.objects.over().filter(resolved_at__lt=retention.days_ago(settings.HUB_ALERT_DAYS)),
    time_field="resolved_at",
)
DELIVERIES = retention.of_rows(
    "deliveries",
    "Messages about alerts",
    lambda: f"kept for {settings.HUB_ALERT_DAYS} days, longer while they wait or their alert fires",
    lambda: Delivery.objects.finished().filter(created_at__lt=retention.days_ago(settings.HUB_ALERT_DAYS)),
    time_field="created_at",
)


def register() -> None:
    """Called once by the app config."""
    retention.register(SAMPLES)
    retention.register(
        retention.of_rows(
            "events",
            "Events in charts",
            lambda: f"kept for {settings.HUB_HOURS_DAYS} days",
            lambda: Event.objects.filter(at__lt=retention.days_ago(settings.HUB_HOURS_DAYS)),
            time_field="at",
        )
    )
    for rule in (ALERTS, DELIVERIES):
        retention.register(rule)
    retention.register(
        retention.of_rows("errors", "Unhandled errors", _days, errors.expired, time_field="last_seen_at")
    )
