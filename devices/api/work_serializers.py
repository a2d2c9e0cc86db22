"""Shapes of what devices ask and say about their work."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from hub.api.openapi import example

from ..deployments.choices import ErrorCode, Reported, TargetStatus
from .device_serializers import SmallJSONField


class WorkBundleSerializer(serializers.Serializer[Any]):
    """The bundle; `signed` is the publisher's signature file."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    version = serializers.CharField()
    kind = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    sha1 = serializers.CharField()
    md5 = serializers.CharField()
    manifest = SmallJSONField()
    signed = SmallJSONField(allow_null=True)


class WorkFileSerializer(serializers.Serializer[Any]):
    """The file as it is sent; ranges are honoured. The wrapped key opens it when it is sealed."""

    url = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    is_sealed = serializers.BooleanField()
    wrapped_key = serializers.DictField(child=serializers.CharField(), allow_null=True)


class WorkSerializer(serializers.Serializer[Any]):
    """All that a device needs for its work."""

    deployment_id = serializers.UUIDField()
    number = serializers.IntegerField(help_text="Below 2^31, for clients that read it so.")
    attempt = serializers.IntegerField()
    type = serializers.CharField()
    timeout_seconds = serializers.IntegerField()
    soak_seconds = serializers.IntegerField()
    bundle = WorkBundleSerializer()
    file = WorkFileSerializer()


class ResultSerializer(serializers.Serializer[Any]):
    """What a device says. The same may come in the address, as older agents do: `status_str`, `error_message`."""

    status = serializers.CharField(max_length=20, required=False, help_text=f"One of {', '.join(Reported.values)}.")
    error_message = serializers.CharField(max_length=10_000, required=False, allow_blank=True, allow_null=True)
    error_code = serializers.CharField(
        max_length=20, required=False, allow_blank=True, help_text=f"One of {', '.join(ErrorCode.values)}."
    )
    progress_percent = serializers.IntegerField(min_value=0, max_value=100, required=False, allow_null=True)
    output = serializers.CharField(max_length=200_000, required=False, allow_blank=True, trim_whitespace=False)


class ResultAnswerSerializer(serializers.Serializer[Any]):
    """Where the device stands now, and whether its word has changed anything."""

    status = serializers.ChoiceField(choices=TargetStatus.choices)
    counted = serializers.BooleanField()


class SealingKeySerializer(serializers.Serializer[Any]):
    """The device's X25519 key."""

    public_key = serializers.CharField(max_length=60, help_text="32 bytes in base64.")


class AppliedSerializer(serializers.Serializer[Any]):
    """Which version of its configuration a device has applied, or why it could not."""

    config_version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    problem = serializers.CharField(max_length=500, required=False, allow_blank=True)


class AppliedAnswerSerializer(serializers.Serializer[Any]):
    """The version that is wanted."""

    config_version = serializers.IntegerField()


example(ResultSerializer, "It is installed", {"status": "installed"})
example(SealingKeySerializer, "A key", {"public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="})
example(AppliedSerializer, "Applied", {"config_version": 4})
