"""What channels are told: one row for each event and channel, whose words are fixed when it is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings

from hub.jobs import enqueue

from .choices import DeliveryEvent
from .models import Alert, AlertRule, Channel, Delivery

WORDS = {DeliveryEvent.FIRED: "", DeliveryEvent.RESOLVED: "Over: ", DeliveryEvent.TEST: "Test: "}


def announce(alert: Alert, rule: AlertRule) -> None:
    """Tell every channel that wants alerts of this rule that one fires."""
    channels = Channel.objects.filter(is_enabled=True).prefetch_related("rules")
    wanted = [each for each in channels if each.wants(alert.severity, rule.pk, {row.pk for row in each.rules.all()})]
    _make(wanted, alert, DeliveryEvent.FIRED)


def tell_end(alert: Alert) -> None:
    """Tell those who were told that it fires that it is over."""
    told = Channel.objects.filter(deliveries__alert=alert, deliveries__event=DeliveryEvent.FIRED, is_enabled=True)
    _make(list(told), alert, DeliveryEvent.RESOLVED)


def make_test(channel: Channel) -> Delivery:
    """A message that says nothing but that it arrives."""
    message = {
        "event": DeliveryEvent.TEST.value,
        "title": "Test: the hub reaches this channel",
        "text": "Somebody has pressed the test button. Nothing is wrong.",
        "severity": "info",
        "url": settings.HUB_URL + channel.get_absolute_url(),
    }
    delivery = Delivery.objects.create(channel=channel, event=DeliveryEvent.TEST, message=message)
    enqueue("monitoring.alerts.jobs.deliver_channel", channel.pk)
    return delivery


def _make(channels: list[Channel], alert: Alert, event: DeliveryEvent) -> None:
    message = as_message(alert, event)
    rows = [Delivery(channel=channel, alert=alert, event=event, message=message) for channel in channels]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    for channel in channels:
        enqueue("monitoring.alerts.jobs.deliver_channel", channel.pk)


def as_message(alert: Alert, event: DeliveryEvent) -> dict[str, Any]:
    """All that a receiver may want to know, as JSON."""
    return {
        "event": event.value,
        "alert": alert.pk,
        "title": f"{WORDS[event]}{alert.rule_name}: {alert.subject_name}",
        "text": alert.text or described(alert),
        "severity": alert.severity,
        "rule": alert.rule_name,
        "subject": alert.subject,
        "subject_name": alert.subject_name,
        "region": alert.region_slug,
        "value": alert.value,
        "began_at": _time(alert.began_at),
        "fired_at": _time(alert.fired_at),
        "resolved_at": _time(alert.resolved_at),
        "url": settings.HUB_URL + alert.get_absolute_url(),
    }


def described(alert: Alert) -> str:
    """What a measurement says, when the condition has no words for it."""
    rule = alert.rule
    if rule is None or alert.value is None:
        return ""
    sign = {"percent": " %", "seconds": " s"}.get(rule.unit, "")
    what = rule.get_metric_display() if rule.metric else rule.condition_label
    return f"{what}: {alert.value:,.1f}{sign}, and the limit is {rule.threshold:,g}{sign}."


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
