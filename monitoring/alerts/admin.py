"""Alerts, rules, mutes, channels and deliveries in the admin; what changes something goes through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin, ServiceAdmin

from . import services
from .models import Alert, AlertRule, Channel, Delivery, Mute


@admin.register(AlertRule)
class AlertRuleAdmin(ServiceAdmin[AlertRule]):
    """Rules are changed here or on their page; those that come with the hub are switched off, not deleted."""

    list_display = ["name", "condition", "metric", "threshold", "severity", "scope", "scope_value", "is_enabled"]
    list_filter = ["severity", "condition", "is_enabled"]
    search_fields = ["name", "slug"]
    readonly_fields = ["slug", "version", "is_customized", "failed_at", "error", "created_at"]

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            services.update_rule(obj, actor=request.user, **values)
        else:
            made = services.create_rule(actor=request.user, **form.cleaned_data)
            obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        services.delete_rule(obj, actor=request.user)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin[Alert]):
    """What fires and what has fired."""

    list_display = ["began_at", "rule_name", "subject_name", "state", "severity", "acknowledged_by", "resolved_at"]
    list_filter = ["state", "severity"]
    search_fields = ["rule_name", "subject_name", "=subject"]
    date_hierarchy = "began_at"
    actions = ["acknowledge"]

    @admin.action(description="Acknowledge")
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        self.for_each(request, queryset, lambda alert: services.acknowledge_alert(alert, actor=request.user))


@admin.register(Mute)
class MuteAdmin(ReadOnlyAdmin[Mute]):
    """Times in which nobody is told; planned on their page."""

    list_display = ["reason", "scope", "scope_value", "rule", "starts_at", "ends_at", "created_by"]
    list_select_related = ["rule"]
    list_filter = ["scope"]
    actions = ["end"]

    @admin.action(description="Let people be told again")
    def end(self, request: HttpRequest, queryset: QuerySet[Mute]) -> None:
        self.for_each(request, queryset, lambda mute: services.end_mute(mute, actor=request.user))


@admin.register(Channel)
class ChannelAdmin(ReadOnlyAdmin[Channel]):
    """How people are told; added and changed on their page, because of their secrets."""

    list_display = [
        "name",
        "kind",
        "is_enabled",
        "least_severity",
        "failures",
        "retry_at",
        "last_error",
        "last_sent_at",
    ]
    list_filter = ["kind", "is_enabled"]
    exclude = ["secret", "lease_token", "lease_until"]
    actions = ["test"]

    @admin.action(description="Send a test message")
    def test(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self.for_each(request, queryset, lambda channel: services.try_channel(channel, actor=request.user))


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin[Delivery]):
    """Every message and its fate."""

    list_display = ["created_at", "channel", "event", "state", "attempts", "sent_at", "error"]
    list_select_related = ["channel"]
    list_filter = ["state", "event", "channel"]
    date_hierarchy = "created_at"
    actions = ["resend"]

    @admin.action(description="Send again")
    def resend(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        self.for_each(request, queryset, lambda delivery: services.resend_delivery(delivery, actor=request.user))
