"""Filters of the lists, the same as on the pages."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone

from hub.api.filters import AnyOf, SearchFilterSet
from monitoring.alerts import lists
from monitoring.alerts.choices import AlertState, ChannelKind, DeliveryEvent, DeliveryState, Scope, Severity
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute

SHOWN_STATES = [(state.value, state.label) for state in (AlertState.FIRING, AlertState.RESOLVED)]


class AlertFilter(SearchFilterSet):
    """By rule, subject or text; by state, severity, place, person and time."""

    find = staticmethod(lists.find_alert)
    state = django_filters.MultipleChoiceFilter(choices=SHOWN_STATES)
    severity = django_filters.MultipleChoiceFilter(choices=Severity.choices)
    rule = AnyOf(field_name="rule__slug")
    subject = AnyOf()
    region = AnyOf(field_name="region_slug")
    assignee = AnyOf(field_name="assignee__username")
    is_acknowledged = django_filters.BooleanFilter(field_name="acknowledged_at", lookup_expr="isnull", exclude=True)
    since = django_filters.IsoDateTimeFilter(field_name="began_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="began_at", lookup_expr="lt")

    class Meta:
        model = Alert
        fields: tuple[str, ...] = ()


class RuleFilter(SearchFilterSet):
    """By name, condition, severity, scope and state."""

    find = staticmethod(lists.find_rule)
    condition = AnyOf()
    severity = django_filters.MultipleChoiceFilter(choices=Severity.choices)
    scope = django_filters.MultipleChoiceFilter(choices=Scope.choices)

    class Meta:
        model = AlertRule
        fields = ["is_enabled", "is_customized"]


class MuteFilter(SearchFilterSet):
    """By reason, rule, scope, and whether it is in force now."""

    find = staticmethod(lists.find_mute)
    rule = AnyOf(field_name="rule__slug")
    scope = django_filters.MultipleChoiceFilter(choices=Scope.choices)
    is_active = django_filters.BooleanFilter(method="in_force")

    class Meta:
        model = Mute
        fields: tuple[str, ...] = ()

    def in_force(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        now = Mute.objects.at(timezone.now()).values("pk")
        return rows.filter(pk__in=now) if value else rows.exclude(pk__in=now)


class ChannelFilter(SearchFilterSet):
    """By name, kind and state."""

    find = staticmethod(lists.find_channel)
    kind = django_filters.MultipleChoiceFilter(choices=ChannelKind.choices)

    class Meta:
        model = Channel
        fields = ["is_enabled"]


class DeliveryFilter(SearchFilterSet):
    """By channel, alert, event, fate and time."""

    find = staticmethod(lists.find_delivery)
    event = django_filters.MultipleChoiceFilter(choices=DeliveryEvent.choices)
    state = django_filters.MultipleChoiceFilter(choices=DeliveryState.choices)
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Delivery
        fields = ["channel", "alert"]
