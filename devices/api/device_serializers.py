"""Shapes of what devices send and get."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers

from hub.api.openapi import example
from hub.storable import check_storable

from ..choices import DeviceStatus, KeyState, LogLevel
from ..models.logs import MESSAGE_LENGTH
from ..services.logs import MOST_LINES
from ..sessions import GRANT

MOST_JSON_BYTES = 8192
KEY = (
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
    "-----END PUBLIC KEY-----\n"
)


class SmallJSONField(serializers.JSONField):
    """An object of a few kilobytes."""

    def __init__(self, *, most_bytes: int = MOST_JSON_BYTES, **options: Any) -> None:
        super().__init__(**options)
        self.most_bytes = most_bytes

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if not isinstance(value, dict) or len(json.dumps(value)) > self.most_bytes:
            raise serializers.ValidationError(f"An object of at most {self.most_bytes} bytes.")
        try:
            check_storable(value)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None
        return value


class NonceSerializer(serializers.Serializer[Any]):
    """What an enrolment is signed over."""

    nonce = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


class EnrolSerializer(serializers.Serializer[Any]):
    """A device that wants to be known. Without an identity it is known by its key alone."""

    public_key = serializers.CharField(max_length=4096, help_text="PEM: RSA from 2048 bits, P-256 or Ed25519.")
    identity = SmallJSONField(required=False, help_text="What it is, such as a serial number.")
    device_type = serializers.SlugField(max_length=50, required=False, allow_blank=True)
    hardware_metadata = SmallJSONField(required=False)
    enrolment_token = serializers.CharField(max_length=200, required=False, write_only=True)


class EnrolledSerializer(serializers.Serializer[Any]):
    """The device's record. While it is pending, or its key proposed, somebody has to decide."""

    device_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=DeviceStatus.choices)
    key_state = serializers.ChoiceField(choices=KeyState.choices)
    polling_interval = serializers.IntegerField()


class TokenRequestSerializer(serializers.Serializer[Any]):
    """A signed assertion (RFC 7523) for a token."""

    grant_type = serializers.ChoiceField(choices=[(GRANT, GRANT)])
    assertion = serializers.CharField(max_length=4096)


class DeviceTokenSerializer(serializers.Serializer[Any]):
    """The token."""

    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")


class RotateKeySerializer(serializers.Serializer[Any]):
    """The next key, and its signature that it takes over from the present one."""

    public_key = serializers.CharField(max_length=4096)
    proof = serializers.CharField(max_length=2048, help_text="Base64; what is signed stands in docs/devices.md.")


class RotatedSerializer(serializers.Serializer[Any]):
    """The key that is taken from now on beside the old one."""

    fingerprint = serializers.CharField()
    state = serializers.ChoiceField(choices=KeyState.choices)


class LogLineSerializer(serializers.Serializer[Any]):
    """One line."""

    at = serializers.DateTimeField(required=False, help_text="The device's time; left out: when it arrives.")
    level = serializers.ChoiceField(choices=LogLevel.choices, default=LogLevel.INFO)
    source: Any = serializers.CharField(max_length=50, required=False, allow_blank=True, default="")
    message = serializers.CharField(max_length=MESSAGE_LENGTH)


class LogBatchSerializer(serializers.Serializer[Any]):
    """Lines with the number of their batch, so that one that is sent twice is stored once."""

    sequence = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False)
    lines = LogLineSerializer(many=True, max_length=MOST_LINES)  # type: ignore[call-arg]  # goes to the list


class IngestedSerializer(serializers.Serializer[Any]):
    """How many lines were stored; none of a batch that is there already."""

    ingested = serializers.IntegerField()
    sequence = serializers.IntegerField(help_text="Of the last batch that is stored; the next one has a higher one.")


class SelfSerializer(serializers.Serializer[Any]):
    """What the hub knows of the device that asks."""

    device_id = serializers.UUIDField(source="pk")
    number = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=DeviceStatus.choices)
    region = serializers.CharField(source="region_slug", allow_null=True)
    polling_interval = serializers.IntegerField(source="beat.interval_seconds")
    counter = serializers.IntegerField(source="beat.counter")


example(
    EnrolSerializer,
    "A gateway with a serial number",
    {"public_key": KEY, "identity": {"serial": "GW-0042"}, "device_type": "gateway"},
)
example(TokenRequestSerializer, "An assertion", {"grant_type": GRANT, "assertion": "eyJhbGciOiJFZERTQSIs…"})
example(RotateKeySerializer, "Another key", {"public_key": KEY, "proof": "MEUCIQ=="})
example(
    LogBatchSerializer,
    "One line",
    {"sequence": 7, "lines": [{"level": "WARNING", "source": "net", "message": "The link was down for 12 s."}]},
)
