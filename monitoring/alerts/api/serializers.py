"""Shapes of alerts, rules, mutes, channels and deliveries. Services decide; the secret of a channel is only written."""

from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from monitoring.alerts import conditions
from monitoring.alerts.choices import AlertMoment, AlertState, DeliveryEvent, DeliveryState
from monitoring.alerts.history import history_of
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute

MOST_RULES = 200
MOST_EARLIER = 10
MOST_MINUTES = 90 * 24 * 60


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """An alert; `rule` is null when its rule is gone."""

    rule: Any = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    region = serializers.CharField(source="region_slug", read_only=True)
    assignee = serializers.CharField(source="assignee.username", read_only=True, allow_null=True, default=None)
    state = serializers.ChoiceField(choices=AlertState.choices, read_only=True)

    class Meta:
        model = Alert
        fields = [
            "id",
            "rule",
            "rule_name",
            "severity",
            "state",
            "subject",
            "subject_name",
            "region",
            "text",
            "value",
            "worst_value",
            "flaps",
            "acknowledged_at",
            "acknowledged_by",
            "assignee",
            "began_at",
            "fired_at",
            "seen_at",
            "resolved_at",
        ]
        read_only_fields = fields


class MomentSerializer(serializers.Serializer[Any]):
    """Something that happened to an alert; `by` is empty where the hub itself did it."""

    at = serializers.DateTimeField()
    event = serializers.ChoiceField(choices=AlertMoment.choices)
    by = serializers.CharField(allow_blank=True)
    text = serializers.CharField(allow_blank=True)


class ToldSerializer(serializers.ModelSerializer[Delivery]):
    """A message about an alert, and whether it arrived."""

    channel = serializers.CharField(source="channel.name", read_only=True)
    event = serializers.ChoiceField(choices=DeliveryEvent.choices, read_only=True)
    state = serializers.ChoiceField(choices=DeliveryState.choices, read_only=True)

    class Meta:
        model = Delivery
        fields = ["id", "channel", "event", "state", "created_at", "sent_at"]
        read_only_fields = fields


class AlertDetailSerializer(AlertSerializer):
    """With its history, who was told, and the latest other alerts of the same subject."""

    history = serializers.SerializerMethodField()
    told = serializers.SerializerMethodField()
    others = serializers.SerializerMethodField()

    class Meta(AlertSerializer.Meta):
        fields = [*AlertSerializer.Meta.fields, "history", "told", "others"]
        read_only_fields = fields

    @extend_schema_field(MomentSerializer(many=True))
    def get_history(self, alert: Alert) -> Any:
        return MomentSerializer(history_of(alert), many=True).data

    @extend_schema_field(ToldSerializer(many=True))
    def get_told(self, alert: Alert) -> Any:
        return ToldSerializer(alert.deliveries.select_related("channel"), many=True).data

    @extend_schema_field(AlertSerializer(many=True))
    def get_others(self, alert: Alert) -> Any:
        rows = Alert.objects.visible_to(self.context["request"].user).filter(subject=alert.subject)
        latest = rows.exclude(pk=alert.pk).select_related("rule", "assignee")[:MOST_EARLIER]
        return AlertSerializer(latest, many=True).data


class AssignSerializer(serializers.Serializer[Any]):
    """Whose it is; null: nobody's."""

    assignee = serializers.CharField(max_length=150, allow_null=True, help_text="User name.")


class AlertMuteRequestSerializer(serializers.Serializer[Any]):
    """For how long nobody is told of this rule and subject."""

    minutes = serializers.IntegerField(min_value=1, max_value=MOST_MINUTES)
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class RuleSerializer(serializers.ModelSerializer[AlertRule]):
    """A rule. `error` says why it could not be evaluated; one that `is_shipped` can be switched off, not removed."""

    condition = serializers.ChoiceField(choices=conditions.choices())
    unit = serializers.CharField(read_only=True, help_text="That of the threshold.")
    is_shipped = serializers.BooleanField(source="version", read_only=True)

    class Meta:
        model = AlertRule
        fields = [
            "slug",
            "name",
            "condition",
            "metric",
            "threshold",
            "unit",
            "window_seconds",
            "hold_seconds",
            "cooldown_seconds",
            "severity",
            "scope",
            "scope_value",
            "is_enabled",
            "is_shipped",
            "is_customized",
            "failed_at",
            "error",
            "created_at",
        ]
        read_only_fields = ["is_customized", "failed_at", "error", "created_at"]
        extra_kwargs = {"slug": {"required": False}}

    def get_fields(self) -> dict[str, Any]:
        """A slug stands in addresses and scripts, so it stays."""
        fields = super().get_fields()
        if self.instance is not None and not isinstance(self.parent, serializers.ListSerializer):
            fields["slug"].read_only = True
        return fields

    def validate_threshold(self, value: float) -> float:
        if not math.isfinite(value):
            raise serializers.ValidationError("A finite number is needed.")
        return value


class MuteSerializer(serializers.ModelSerializer[Mute]):
    """A time in which nobody is told; without a rule, of none."""

    rule: Any = serializers.SlugRelatedField(
        slug_field="slug", queryset=AlertRule.objects.all(), allow_null=True, required=False
    )
    starts_at = serializers.DateTimeField(required=False, help_text="Missing: now.")

    class Meta:
        model = Mute
        fields = ["id", "reason", "rule", "scope", "scope_value", "starts_at", "ends_at", "created_by"]
        read_only_fields = ["created_by"]


class RuleSlugs(serializers.ListField):
    """Rules by their slugs, found in one query."""

    child = serializers.SlugField(max_length=60)

    def to_internal_value(self, data: Any) -> list[Any]:
        slugs = set(super().to_internal_value(data))
        if len(slugs) > MOST_RULES:
            raise serializers.ValidationError(f"At most {MOST_RULES} rules.")
        rules = list(AlertRule.objects.filter(slug__in=slugs))
        if unknown := slugs - {rule.slug for rule in rules}:
            raise serializers.ValidationError(f"There is no rule {', '.join(sorted(unknown))}.")
        return rules

    def to_representation(self, data: Any) -> list[str]:
        return sorted(rule.slug for rule in data.all())


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """A channel and whether it works. Its secret is written, never shown: an empty one leaves what is there."""

    rules = RuleSlugs(required=False, help_text="None: all rules.")
    secret = serializers.CharField(write_only=True, required=False, allow_blank=True, max_length=500)
    has_secret = serializers.BooleanField(source="secret", read_only=True)
    health = serializers.CharField(read_only=True, help_text="new, works, rests (after a failure) or off.")

    class Meta:
        model = Channel
        fields = [
            "id",
            "name",
            "kind",
            "target",
            "secret",
            "has_secret",
            "least_severity",
            "rules",
            "is_enabled",
            "health",
            "failures",
            "retry_at",
            "last_error",
            "last_sent_at",
            "created_at",
        ]
        read_only_fields = ["failures", "retry_at", "last_error", "last_sent_at", "created_at"]


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """A message and its fate."""

    title = serializers.CharField(source="message.title", read_only=True, default="")
    channel_name = serializers.CharField(source="channel.name", read_only=True)
    event = serializers.ChoiceField(choices=DeliveryEvent.choices, read_only=True)
    state = serializers.ChoiceField(choices=DeliveryState.choices, read_only=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "channel",
            "channel_name",
            "alert",
            "event",
            "state",
            "title",
            "attempts",
            "error",
            "created_at",
            "sent_at",
        ]
        read_only_fields = fields


class DeliveryDetailSerializer(DeliverySerializer):
    """With all that the receiver is told."""

    message = serializers.DictField(read_only=True)

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "message"]
        read_only_fields = fields
