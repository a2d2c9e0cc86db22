"""Shapes of devices, groups, enrolment tokens and log lines for people and programs. Services decide."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.bulk import BulkErrorSerializer, ids_field
from hub.bulk import MOST
from hub.nodes.models import Region

from ..choices import Liveness, LogLevel
from ..models import Device, DeviceGroup, DeviceKey, DeviceLog, EnrolmentToken
from ..services.bulk import DECISIONS
from ..validators import validate_tag
from .device_serializers import SmallJSONField

MOST_TAGS = 50


class TagsField(serializers.ListField):
    """Tags of letters, digits and _ . : = -"""

    child = serializers.CharField(max_length=40, validators=[validate_tag])

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MOST_TAGS, **kwargs)


class GroupsField(serializers.ListField):
    """Groups by their slugs, found in one query."""

    child = serializers.SlugField(max_length=50)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MOST_TAGS, **kwargs)

    def to_internal_value(self, data: Any) -> list[Any]:
        slugs = set(super().to_internal_value(data))
        groups = list(DeviceGroup.objects.filter(slug__in=slugs))
        if unknown := slugs - {group.slug for group in groups}:
            raise serializers.ValidationError(f"There is no group {', '.join(sorted(unknown))}.")
        return groups

    def to_representation(self, data: Any) -> list[str]:
        return sorted(group.slug for group in data.all())


def region_field(**kwargs: Any) -> Any:
    return serializers.SlugRelatedField(slug_field="slug", queryset=Region.objects.all(), allow_null=True, **kwargs)


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """A device and what it said last."""

    region: Any = serializers.CharField(source="region_slug", read_only=True, allow_null=True)
    liveness = serializers.ChoiceField(choices=Liveness.choices, read_only=True)
    last_seen_at = serializers.DateTimeField(source="beat.last_seen_at", read_only=True, allow_null=True)
    polling_interval = serializers.IntegerField(source="beat.interval_seconds", read_only=True)
    health = serializers.CharField(source="beat.health", read_only=True)
    agent_version = serializers.CharField(source="beat.agent_version", read_only=True)
    bundle_version = serializers.CharField(source="beat.bundle_version", read_only=True)
    config_version = serializers.IntegerField(source="beat.config_version", read_only=True, allow_null=True)
    memory_mb = serializers.IntegerField(source="beat.memory_mb", read_only=True, allow_null=True)
    cpu_pct = serializers.FloatField(source="beat.cpu_percent", read_only=True, allow_null=True)

    class Meta:
        model = Device
        fields = [
            "id",
            "number",
            "name",
            "status",
            "status_reason",
            "liveness",
            "last_seen_at",
            "polling_interval",
            "health",
            "agent_version",
            "bundle_version",
            "config_version",
            "memory_mb",
            "cpu_pct",
            "device_type",
            "tags",
            "region",
            "registered_at",
            "accepted_at",
        ]
        read_only_fields = fields


class DeviceKeySerializer(serializers.ModelSerializer[DeviceKey]):
    """A public key and where it stands."""

    class Meta:
        model = DeviceKey
        fields = [
            "fingerprint",
            "algorithm",
            "bits",
            "state",
            "created_at",
            "activated_at",
            "retires_at",
            "revoked_at",
            "revoked_reason",
        ]
        read_only_fields = fields


class DeviceDetailSerializer(DeviceSerializer):
    """With identity, hardware, groups and keys."""

    groups = GroupsField(read_only=True)
    keys = DeviceKeySerializer(many=True, read_only=True)
    identity = serializers.DictField(read_only=True)
    hardware = serializers.DictField(read_only=True)

    class Meta(DeviceSerializer.Meta):
        fields = [*DeviceSerializer.Meta.fields, "identity", "hardware", "notes", "groups", "keys"]
        read_only_fields = fields


class DeviceChangeSerializer(serializers.Serializer[Any]):
    """What people say of a device."""

    name = serializers.CharField(max_length=100, required=False)
    device_type = serializers.SlugField(max_length=50, required=False, allow_blank=True)
    tags = TagsField(required=False)
    region = region_field(required=False)
    groups = GroupsField(required=False)
    notes = serializers.CharField(max_length=2000, required=False, allow_blank=True)


class PreauthoriseSerializer(DeviceChangeSerializer):
    """A device that is expected: the first proof of this key is accepted."""

    name = serializers.CharField(max_length=100)
    public_key = serializers.CharField(max_length=4096)
    identity = SmallJSONField(required=False)


class ReasonSerializer(serializers.Serializer[Any]):
    """Why, for those who look later."""

    reason = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")


class SeenKeySerializer(serializers.Serializer[Any]):
    """The key that was looked at: another one may have been proposed meanwhile, and is not taken then."""

    fingerprint = serializers.RegexField(r"^[0-9a-f]{64}\Z", required=False)


class DeviceBulkSerializer(serializers.Serializer[Any]):
    """One decision for many devices."""

    verb = serializers.ChoiceField(choices=list(DECISIONS))
    ids = ids_field(serializers.UUIDField())
    fingerprints = serializers.DictField(
        child=serializers.RegexField(r"^[0-9a-f]{64}\Z"),
        required=False,
        help_text="To accept: by the id of each device the key that was looked at.",
    )

    def validate_fingerprints(self, values: dict[str, str]) -> dict[UUID, str]:
        try:
            return {UUID(key): value for key, value in values.items()}
        except ValueError:
            raise serializers.ValidationError("A key here is the id of a device.") from None


class DeviceBulkResultSerializer(serializers.Serializer[Any]):
    """What came of it for one device."""

    id = serializers.UUIDField()
    status = serializers.IntegerField()
    device_status = serializers.CharField(allow_null=True)
    error = BulkErrorSerializer(allow_null=True)


class FleetSerializer(serializers.Serializer[Any]):
    """The fleet in numbers; liveness, health and versions are of accepted devices."""

    total = serializers.IntegerField(help_text="Without those that are decommissioned.")
    online = serializers.IntegerField()
    offline = serializers.IntegerField()
    pending = serializers.IntegerField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_liveness = serializers.DictField(child=serializers.IntegerField())
    by_health = serializers.DictField(child=serializers.IntegerField())
    by_version = serializers.DictField(child=serializers.IntegerField())


class DaySerializer(serializers.Serializer[Any]):
    """Deployments to single devices that ended on a day."""

    day = serializers.DateField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    rolled_back = serializers.IntegerField()


class OutcomesSerializer(serializers.Serializer[Any]):
    """What became of deployments in seven days."""

    bundles = serializers.IntegerField(help_text="That can be deployed.")
    active_deployments = serializers.IntegerField()
    deployments_24h = serializers.IntegerField(help_text="Made within the last 24 hours.")
    success_percent = serializers.FloatField(allow_null=True, help_text="Of what ended within seven days.")
    mean_rollback_seconds = serializers.FloatField(
        allow_null=True, help_text="From the wish to the proof, of those asked for within seven days."
    )
    days = DaySerializer(many=True)


class StatsSerializer(OutcomesSerializer, FleetSerializer):
    """The fleet in numbers, and what became of deployments in seven days."""


class DeviceGroupSerializer(serializers.ModelSerializer[DeviceGroup]):
    """A static group and how many of its devices one sees."""

    members = serializers.IntegerField(read_only=True)

    class Meta:
        model = DeviceGroup
        fields = ["slug", "name", "description", "priority", "members", "created_at"]
        read_only_fields = ["created_at"]

    def get_fields(self) -> dict[str, Any]:
        """A slug stands in addresses and scripts, so it stays."""
        fields = super().get_fields()
        if self.instance is not None and not isinstance(self.parent, serializers.ListSerializer):
            fields["slug"].read_only = True
        return fields


class MembersSerializer(serializers.Serializer[Any]):
    """Who comes and who goes."""

    add = serializers.ListField(child=serializers.UUIDField(), max_length=MOST, required=False)
    remove = serializers.ListField(child=serializers.UUIDField(), max_length=MOST, required=False)


class MembersAnswerSerializer(serializers.Serializer[Any]):
    """How many came and went."""

    added = serializers.IntegerField()
    removed = serializers.IntegerField()


class EnrolmentTokenSerializer(serializers.ModelSerializer[EnrolmentToken]):
    """A token without its secret."""

    region = region_field(required=False)
    group: Any = serializers.SlugRelatedField(
        slug_field="slug", queryset=DeviceGroup.objects.all(), allow_null=True, required=False
    )
    tags = TagsField(required=False)

    class Meta:
        model = EnrolmentToken
        fields = [
            "id",
            "name",
            "hint",
            "region",
            "group",
            "tags",
            "most_uses",
            "uses",
            "expires_at",
            "created_by",
            "created_at",
            "revoked_at",
        ]
        read_only_fields = ["hint", "uses", "created_by", "created_at", "revoked_at"]

    def validate_expires_at(self, value: Any) -> Any:
        if value <= timezone.now():
            raise serializers.ValidationError("It is over already.")
        return value


class NewEnrolmentTokenSerializer(EnrolmentTokenSerializer):
    """With the secret, this once."""

    secret = serializers.SerializerMethodField()

    class Meta(EnrolmentTokenSerializer.Meta):
        fields = [*EnrolmentTokenSerializer.Meta.fields, "secret"]

    @extend_schema_field(str)
    def get_secret(self, token: EnrolmentToken) -> str:
        return str(self.context["secret"])


class DeviceLogSerializer(serializers.ModelSerializer[DeviceLog]):
    """A log line."""

    device_name = serializers.CharField(source="device.name", read_only=True)

    class Meta:
        model = DeviceLog
        fields = ["id", "device", "device_name", "at", "received_at", "level", "source", "message"]
        read_only_fields = fields


class MergedQuerySerializer(serializers.Serializer[Any]):
    """How many, and of which device."""

    limit = serializers.IntegerField(min_value=1, max_value=500, default=100)
    device = serializers.UUIDField(required=False)


class HappeningSerializer(serializers.Serializer[Any]):
    """One moment of one device."""

    timestamp = serializers.DateTimeField()
    level = serializers.ChoiceField(choices=LogLevel.choices)
    message = serializers.CharField()
    source: Any = serializers.CharField(help_text="What a log line names, else `deployment` or `state`.")
    device = serializers.UUIDField()
    device_name = serializers.CharField()
