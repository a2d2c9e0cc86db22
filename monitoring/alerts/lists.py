"""What the lists of alerts, rules, mutes, channels and deliveries can do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from hub.nodes.lists import region_choices
from hub.pages import states
from hub.pages.lists import YES_NO, Chip, Column, Spec, Tab

from . import conditions
from .choices import AlertState, ChannelKind, DeliveryEvent, Scope, Severity


def find_alert(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Alerts by rule, subject or what they say."""
    found = Q(rule_name__icontains=text) | Q(subject_name__icontains=text) | Q(text__icontains=text)
    return rows.filter(found | Q(subject=text))


def find_rule(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Rules by name."""
    return rows.filter(Q(name__icontains=text) | Q(slug=text))


def find_mute(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Mutes by reason or what they are about."""
    return rows.filter(Q(reason__icontains=text) | Q(scope_value=text))


def find_channel(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Channels by name."""
    return rows.filter(name__icontains=text)


def find_delivery(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Deliveries by channel, alert or error."""
    about = Q(alert__rule_name__icontains=text) | Q(alert__subject_name__icontains=text)
    return rows.filter(about | Q(channel__name__icontains=text) | Q(error__icontains=text))


ALERTS = Spec(
    key="alerts",
    columns=(
        Column("what", "Alert", order="rule_name", value=lambda row: row.rule_name, is_fixed=True),
        Column("subject", "About", order="subject_name", value=lambda row: row.subject_name, is_fixed=True),
        Column("state", "State", order="state", value=lambda row: row.state, is_fixed=True),
        Column("severity", "Severity", order="severity", value=lambda row: row.severity),
        Column("assignee", "Whose", value=lambda row: row.assignee.username if row.assignee else ""),
        Column("region", "Region", order="region_slug", value=lambda row: row.region_slug, is_default=False),
        Column("began", "Began", order="began_at", value=lambda row: row.began_at),
        Column("over", "Over", order="resolved_at", value=lambda row: row.resolved_at),
    ),
    chips=(
        Chip("severity", "Severity", lambda request: Severity.choices),
        Chip("state", "State", lambda request: [(AlertState.FIRING, "Firing"), (AlertState.RESOLVED, "Over")]),
        Chip("region", "Region", region_choices, "region_slug"),
    ),
    tabs=(
        Tab("firing", "Firing", lambda user: Q(state=AlertState.FIRING)),
        Tab("new", "Nobody has seen", lambda user: Q(state=AlertState.FIRING, acknowledged_at=None)),
        Tab("mine", "Mine", lambda user: Q(assignee=user.pk)),
        Tab("history", "Over", lambda user: Q(state=AlertState.RESOLVED)),
    ),
    search=find_alert,
    search_hint="Rule, subject or text",
    order="-began_at",
)

RULES = Spec(
    key="alert-rules",
    columns=(
        Column("name", "Rule", order="name", value=lambda row: row.name, is_fixed=True),
        Column("condition", "When", order="condition", value=lambda row: row.condition_label, is_fixed=True),
        Column("severity", "Severity", order="severity", value=lambda row: row.severity),
        Column("scope", "About", order="scope", value=lambda row: row.scope_value or row.get_scope_display()),
        Column("hold", "For", order="hold_seconds", value=lambda row: row.hold_seconds),
        Column("status", "Status", order="is_enabled", value=lambda row: "on" if row.is_enabled else "off"),
    ),
    chips=(
        Chip("severity", "Severity", lambda request: Severity.choices),
        Chip("condition", "Condition", lambda request: conditions.choices()),
    ),
    search=find_rule,
    search_hint="Name",
    order="name",
)

MUTES = Spec(
    key="mutes",
    columns=(
        Column("reason", "Reason", order="reason", value=lambda row: row.reason, is_fixed=True),
        Column("scope", "About", order="scope", value=lambda row: row.scope_value or row.get_scope_display()),
        Column("rule", "Rule", value=lambda row: row.rule.name if row.rule else ""),
        Column("by", "By", order="created_by", value=lambda row: row.created_by),
        Column("starts", "Begins", order="starts_at", value=lambda row: row.starts_at),
        Column("ends", "Ends", order="ends_at", value=lambda row: row.ends_at),
    ),
    chips=(Chip("scope", "Scope", lambda request: Scope.choices),),
    search=find_mute,
    search_hint="Reason or subject",
    order="-ends_at",
)

CHANNELS = Spec(
    key="channels",
    columns=(
        Column("name", "Channel", order="name", value=lambda row: row.name, is_fixed=True),
        Column("state", "State", value=lambda row: row.health, is_fixed=True),
        Column("kind", "Kind", order="kind", value=lambda row: row.kind),
        Column("severity", "From severity", order="least_severity", value=lambda row: row.least_severity),
        Column("sent", "Last sent", order="last_sent_at", value=lambda row: row.last_sent_at),
        Column("made", "Made", order="created_at", value=lambda row: row.created_at, is_default=False),
    ),
    chips=(
        Chip("kind", "Kind", lambda request: ChannelKind.choices),
        Chip("is_enabled", "Switched on", lambda request: YES_NO),
    ),
    search=find_channel,
    search_hint="Name",
    order="name",
)

DELIVERIES = Spec(
    key="deliveries",
    columns=(
        Column("what", "Message", value=lambda row: row.message.get("title", ""), is_fixed=True),
        Column("state", "Fate", order="state", value=lambda row: row.state, is_fixed=True),
        Column("event", "Event", order="event", value=lambda row: row.event),
        Column("attempts", "Attempts", order="attempts", value=lambda row: row.attempts),
        Column("sent", "Sent", order="sent_at", value=lambda row: row.sent_at),
        Column("when", "When", order="created_at", value=lambda row: row.created_at),
    ),
    chips=(
        Chip("state", "Fate", lambda request: states.choices("delivery")),
        Chip("event", "Event", lambda request: DeliveryEvent.choices),
    ),
    search=find_delivery,
    search_hint="Alert or error",
    order="-created_at",
)
