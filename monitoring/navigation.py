"""Places of monitoring, and what fires on the overview."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.pages import overview, palette
from hub.pages.navigation import Count, Place, register
from hub.pages.overview import Concern, Contribution, Panel
from hub.statements import statement

from .alerts.choices import Severity
from .alerts.lists import find_alert, find_channel, find_rule
from .alerts.models import Alert, AlertRule, Channel

SHOWN = 8
CONCERNS = 12
ALERTS_FOUND = 3


def _firing(user: Any) -> Count:
    """How many alerts fire that this person sees, red when one is critical."""
    rows = statement(("firing", user.reach), lambda: Alert.objects.visible_to(user).firing().values_list("severity"))
    found = [severity for (severity,) in rows.rows()]
    return Count(len(found), "bad" if Severity.CRITICAL in found else "warn")


def _sees_alerts(user: Any) -> bool:
    return can(user, "alerts.view")


register(
    Place("Monitoring", "Fleet", "monitoring:fleet", "chart", lambda user: can(user, "nodes.view"), position=10),
    Place("Monitoring", "Alerts", "monitoring:alert_list", "bell", _sees_alerts, _firing, position=20),
    Place("Monitoring", "Alert rules", "monitoring:rule_list", "sliders", _sees_alerts, position=30),
    Place("Monitoring", "Mutes", "monitoring:mute_list", "pause", _sees_alerts, position=32),
    Place(
        "Monitoring",
        "Channels",
        "monitoring:channel_list",
        "inbox",
        lambda user: can(user, "channels.view"),
        position=34,
    ),
)
register(
    Place(
        "Monitoring",
        "Errors",
        "monitoring:error_list",
        "alert",
        lambda user: can(user, "errors.view"),
        position=30,
    ),
)
register(
    Place(
        "Administration",
        "Retention",
        "monitoring:retention",
        "clock",
        lambda user: can(user, "settings.view"),
        position=60,
    ),
)


def _overview(request: HttpRequest) -> Contribution:
    """What fires, as a panel; what nobody has seen yet needs somebody, and so stands behind the bell too."""
    if not can(request.user, "alerts.view"):
        return Contribution()
    firing = list(Alert.objects.visible_to(request.user).firing().select_related("assignee")[:CONCERNS])
    concerns = [_concern(alert) for alert in firing if alert.acknowledged_at is None]
    panels = [Panel("monitoring/partials/alert_panel.html", {"alerts": firing[:SHOWN]})] if firing else []
    return Contribution((), concerns, panels)


def _concern(alert: Alert) -> Concern:
    tone, shape = ("bad", "s-bad") if alert.severity == Severity.CRITICAL else ("warn", "s-warn")
    url = reverse("monitoring:alert_detail", args=[alert.pk])
    return Concern(tone, shape, alert.subject_name, f"{alert.rule_name}. {alert.text}".strip(), url, alert.began_at)


def _charts(request: HttpRequest) -> Contribution:
    """The nodes' charts, for those who may see nodes."""
    if not can(request.user, "nodes.view"):
        return Contribution()
    return Contribution((), (), [Panel("monitoring/partials/node_charts.html", {}, is_steady=True)])


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    yield from _find_channels(user, text)
    if not can(user, "alerts.view"):
        return
    for rule in find_rule(AlertRule.objects.visible_to(user), text)[: palette.PER_GROUP]:
        listed = f"{reverse('monitoring:rule_list')}?{urlencode({'q': rule.name})}"
        url = rule.get_absolute_url() if can(user, "alerts.change", rule) else listed
        yield palette.Hit(rule.name, url, "sliders", "Alert rule")
    for alert in find_alert(Alert.objects.visible_to(user), text).order_by("-began_at")[:ALERTS_FOUND]:
        note = f"Alert, {alert.get_state_display().lower()}"
        yield palette.Hit(f"{alert.rule_name}: {alert.subject_name}", alert.get_absolute_url(), "bell", note)


def _find_channels(user: Any, text: str) -> Iterable[palette.Hit]:
    if can(user, "channels.view"):
        for channel in find_channel(Channel.objects.visible_to(user), text)[: palette.PER_GROUP]:
            yield palette.Hit(channel.name, channel.get_absolute_url(), "inbox", "Channel")


palette.register(_find, is_late=True)
palette.offer(
    palette.Way(
        "New alert rule",
        "monitoring:rule_create",
        "plus",
        lambda user: can(user, "alerts.change"),
        words="create",
        is_action=True,
    ),
    palette.Way(
        "Plan maintenance",
        "monitoring:mute_list",
        "pause",
        lambda user: can(user, "alerts.change"),
        words="new mute silence",
        is_action=True,
    ),
    palette.Way(
        "Add a channel",
        "monitoring:channel_create",
        "plus",
        lambda user: can(user, "channels.change"),
        words="new webhook slack mail pagerduty",
        is_action=True,
    ),
)
overview.contribute(45, _overview)
overview.contribute(46, _charts)
