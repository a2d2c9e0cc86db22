"""Shapes of manual commands: for people and programs, and the device's answer."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from hub.api.bulk import BulkErrorSerializer, ids_field
from hub.api.openapi import example

from ..manual.choices import (
    ANSWERS,
    ARGUMENT_LENGTH,
    BUILT_IN,
    EXPIRES_SECONDS,
    MOST_ARGUMENTS,
    TIMEOUT_SECONDS,
    CommandStatus,
)
from ..manual.models import ManualCommand
from ..packaging.manifest import COMMAND

DEVICE = "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"


class DeviceCommandSerializer(serializers.ModelSerializer[ManualCommand]):
    """A command and what came of it."""

    device_name = serializers.CharField(source="device.name", read_only=True)

    class Meta:
        model = ManualCommand
        fields = [
            "id",
            "device",
            "device_name",
            "name",
            "arguments",
            "timeout_seconds",
            "status",
            "offers",
            "created_by",
            "created_at",
            "expires_at",
            "finished_at",
            "error_message",
        ]
        read_only_fields = fields


class DeviceCommandDetailSerializer(DeviceCommandSerializer):
    """With the end of its output."""

    class Meta(DeviceCommandSerializer.Meta):
        fields = [*DeviceCommandSerializer.Meta.fields, "output"]
        read_only_fields = fields


class SendCommandSerializer(serializers.Serializer[Any]):
    """One command for these devices."""

    ids = ids_field(serializers.UUIDField())
    name = serializers.RegexField(
        COMMAND, max_length=40, help_text=f"{', '.join(BUILT_IN)}, or what the bundle on the device declares."
    )
    arguments = serializers.ListField(
        child=serializers.CharField(max_length=ARGUMENT_LENGTH, allow_blank=True, trim_whitespace=False),
        max_length=MOST_ARGUMENTS,
        required=False,
    )
    timeout_seconds = serializers.IntegerField(
        min_value=TIMEOUT_SECONDS[0], max_value=TIMEOUT_SECONDS[1], required=False, help_text="300 if left out."
    )
    expires_seconds = serializers.IntegerField(
        min_value=EXPIRES_SECONDS[0],
        max_value=EXPIRES_SECONDS[1],
        required=False,
        help_text="Not begun after so long; 3600 if left out.",
    )


class DeviceCommandBulkResultSerializer(serializers.Serializer[Any]):
    """What came of it for one device: `id` is the device's."""

    id = serializers.UUIDField()
    status = serializers.IntegerField()
    command = serializers.UUIDField(allow_null=True)
    error = BulkErrorSerializer(allow_null=True)


class DeviceCommandResultSerializer(serializers.Serializer[Any]):
    """What a device says of its command."""

    status = serializers.ChoiceField(choices=[(each.value, each.label) for each in ANSWERS])
    error_message = serializers.CharField(max_length=10_000, required=False, allow_blank=True)
    output = serializers.CharField(max_length=200_000, required=False, allow_blank=True, trim_whitespace=False)


class DeviceCommandAnswerSerializer(serializers.Serializer[Any]):
    """Where the command stands now, and whether this word has changed anything."""

    status = serializers.ChoiceField(choices=CommandStatus.choices)
    counted = serializers.BooleanField()


example(SendCommandSerializer, "How is it?", {"ids": [DEVICE], "name": "diagnose"})
example(DeviceCommandResultSerializer, "It is done", {"status": "done", "output": "3 files removed\n"})
