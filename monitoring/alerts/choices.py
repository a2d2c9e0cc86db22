"""Severities, states of alerts and deliveries, kinds of channels, scopes."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.transitions import Transitions


class Severity(models.TextChoices):
    """How much it matters."""

    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


RANK: Final = {Severity.INFO: 0, Severity.WARNING: 1, Severity.CRITICAL: 2}


class AlertState(models.TextChoices):
    """Pending ones are not bad for long enough yet; nobody hears of them."""

    PENDING = "pending", "Pending"
    FIRING = "firing", "Firing"
    RESOLVED = "resolved", "Resolved"


OPEN: Final = (AlertState.PENDING, AlertState.FIRING)
ALERT_TRANSITIONS: Final = Transitions(
    "state", {AlertState.PENDING: [AlertState.FIRING], AlertState.FIRING: [AlertState.RESOLVED]}
)


class AlertMoment(models.TextChoices):
    """What happens to an alert, in the order of moments that are at the same time."""

    BEGAN = "began", "Began"
    FIRED = "fired", "Fired"
    TOLD = "told", "Channels were told"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    ASSIGNED = "assigned", "Assigned"
    MUTED = "muted", "Muted"
    RESOLVED = "resolved", "Over"


class Scope(models.TextChoices):
    """Which subjects a rule or a mute is about."""

    ALL = "all", "Everything"
    REGION = "region", "A region"
    OWNER = "owner", "An owner's"
    SUBJECT = "subject", "One subject"


class ChannelKind(models.TextChoices):
    """How people hear of an alert."""

    EMAIL = "email", "E-mail"
    SLACK = "slack", "Slack"
    PAGERDUTY = "pagerduty", "PagerDuty"
    WEBHOOK = "webhook", "Webhook"


class DeliveryEvent(models.TextChoices):
    """What a message tells."""

    FIRED = "fired", "Fired"
    RESOLVED = "resolved", "Resolved"
    TEST = "test", "Test"


class DeliveryState(models.TextChoices):
    """The fate of a message."""

    WAITING = "waiting", "Waiting"
    SENT = "sent", "Sent"
    FAILED = "failed", "Given up"


DELIVERY_TRANSITIONS: Final = Transitions(
    "state",
    {
        DeliveryState.WAITING: [DeliveryState.SENT, DeliveryState.FAILED],
        DeliveryState.FAILED: [DeliveryState.WAITING],
    },
)
