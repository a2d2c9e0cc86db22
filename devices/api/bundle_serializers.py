"""Shapes of bundles, publishers' keys, deployments and configurations for people and programs. Services decide."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from hub.api.openapi import example

from ..bundles.choices import UPLOAD_PIECE_BYTES, BundleKind
from ..bundles.models import Bundle, PublisherKey
from ..configuration.models import ConfigRevision
from ..configuration.schema import LOG_LEVELS, LONGEST
from ..deployments.choices import ATTEMPTS, SOAK_SECONDS, TIMEOUT_SECONDS
from ..deployments.models import Deployment, DeploymentTarget
from ..packaging.manifest import LONGEST as MANIFEST_LENGTH
from .device_serializers import KEY, SmallJSONField

MOST_TYPES = 50
PIECE_TEXT = UPLOAD_PIECE_BYTES * 4 // 3 - (UPLOAD_PIECE_BYTES * 4 // 3) % 4
ID = "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"


class BundleSerializer(serializers.ModelSerializer[Bundle]):
    """A bundle."""

    publisher: Any = serializers.CharField(source="publisher.name", default=None, read_only=True, allow_null=True)
    device_types = serializers.ListField(child=serializers.CharField(), read_only=True)
    manifest = SmallJSONField(read_only=True)

    class Meta:
        model = Bundle
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "name",
            "version",
            "kind",
            "status",
            "description",
            "device_types",
            "manifest",
            "model_name",
            "model_size_mb",
            "size_bytes",
            "received_bytes",
            "sha256",
            "sha1",
            "md5",
            "publisher",
            "is_sealed",
            "uploaded_by_name",
            "created_at",
            "ready_at",
            "first_used_at",
            "invalidated_at",
            "invalid_reason",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class SignatureSerializer(serializers.Serializer[Any]):
    """A signature file, as `manage.py sign_bundle` writes it."""

    statement = serializers.CharField(max_length=16_384, trim_whitespace=False)
    algorithm = serializers.CharField(max_length=30)
    key = serializers.CharField(max_length=64)
    signature = serializers.CharField(max_length=1024)


class BundleReserveSerializer(serializers.Serializer[Any]):
    """A new bundle, before its bytes. What a publisher has signed need not be said again."""

    size_bytes = serializers.IntegerField(min_value=1, max_value=2**60)
    name = serializers.CharField(max_length=80, required=False)
    version = serializers.CharField(max_length=64, required=False)
    sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}\Z", required=False)
    kind = serializers.ChoiceField(choices=BundleKind.choices, required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    device_types = serializers.ListField(
        child=serializers.CharField(max_length=50), max_length=MOST_TYPES, required=False
    )
    manifest = SmallJSONField(required=False)
    signature = SignatureSerializer(required=False, source="signed")


class BundleUploadSerializer(serializers.Serializer[Any]):
    """A whole file, as a form."""

    file = serializers.FileField(max_length=200)
    manifest = serializers.CharField(max_length=MANIFEST_LENGTH, help_text="JSON, with `version` at least.")
    name = serializers.CharField(max_length=80, required=False)
    signature = serializers.CharField(
        max_length=MANIFEST_LENGTH, required=False, help_text="The signature file of `manage.py sign_bundle`."
    )

    def validate_manifest(self, value: str) -> Any:
        return _from_json(value)

    def validate_signature(self, value: str) -> Any:
        signature = SignatureSerializer(data=_from_json(value))
        signature.is_valid(raise_exception=True)
        return signature.validated_data


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise serializers.ValidationError("This is not JSON.") from None


class BundleMadeSerializer(BundleSerializer):
    """A new bundle; its id and digest also by the names that older programs know."""

    bundle_id = serializers.UUIDField(source="id", read_only=True)
    checksum_sha256 = serializers.CharField(source="sha256", read_only=True)

    class Meta(BundleSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*BundleSerializer.Meta.fields, "bundle_id", "checksum_sha256")
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class PieceSerializer(serializers.Serializer[Any]):
    """The next bytes of an upload, in base64."""

    offset = serializers.IntegerField(min_value=0, max_value=2**60)
    content = serializers.CharField(max_length=PIECE_TEXT, help_text="Base64, of 1.5 MiB at most.")


class BundleChangeSerializer(serializers.Serializer[Any]):
    """What may change until a bundle is used."""

    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    device_types = serializers.ListField(
        child=serializers.CharField(max_length=50), max_length=MOST_TYPES, required=False
    )


class InvalidateSerializer(serializers.Serializer[Any]):
    """Why nobody is sent it any more."""

    reason = serializers.CharField(max_length=300)


class PublisherSerializer(serializers.ModelSerializer[PublisherKey]):
    """A publisher's public key."""

    name = serializers.CharField(max_length=80)
    public_key = serializers.CharField(max_length=4096, help_text="PEM: Ed25519 or P-256.")

    class Meta:
        model = PublisherKey
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "name",
            "public_key",
            "fingerprint",
            "algorithm",
            "is_enabled",
            "created_by",
            "created_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = (
            "id",
            "fingerprint",
            "algorithm",
            "is_enabled",
            "created_by",
            "created_at",
        )


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    """A deployment and how far its devices have come."""

    bundle: Any = serializers.UUIDField(source="bundle_id", read_only=True, allow_null=True)
    parent: Any = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)
    bundle_name = serializers.CharField(source="bundle.name", default=None, read_only=True, allow_null=True)
    bundle_version = serializers.CharField(source="bundle.version", default=None, read_only=True, allow_null=True)
    total = serializers.IntegerField(read_only=True)
    open_count = serializers.IntegerField(read_only=True)
    done_count = serializers.IntegerField(read_only=True)
    failed_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = Deployment
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "kind",
            "bundle",
            "bundle_name",
            "bundle_version",
            "description",
            "status",
            "total",
            "open_count",
            "done_count",
            "failed_count",
            "starts_at",
            "window_starts_at",
            "window_minutes",
            "window_timezone",
            "timeout_seconds",
            "soak_seconds",
            "max_attempts",
            "allow_downgrade",
            "rolls_back_on_failure",
            "parent",
            "created_by_name",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class TargetSerializer(serializers.ModelSerializer[DeploymentTarget]):
    """One device of a deployment."""

    deployment: Any = serializers.UUIDField(source="deployment_id", read_only=True)
    device: Any = serializers.UUIDField(source="device_id", read_only=True)
    device_name = serializers.CharField(source="device.name", read_only=True)
    bundle: Any = serializers.UUIDField(source="bundle_id", read_only=True)
    bundle_version = serializers.CharField(source="bundle.version", read_only=True)

    class Meta:
        model = DeploymentTarget
        fields: ClassVar[tuple[str, ...]] = (
            "number",
            "deployment",
            "device",
            "device_name",
            "bundle",
            "bundle_version",
            "from_version",
            "status",
            "attempt",
            "progress_percent",
            "error_code",
            "error_message",
            "output",
            "offered_at",
            "finished_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class ChosenSerializer(serializers.Serializer[Any]):
    """Which devices: by id, by group, or all of them."""

    devices = serializers.ListField(child=serializers.UUIDField(), max_length=10_000, required=False)
    groups = serializers.ListField(child=serializers.SlugField(max_length=50), max_length=100, required=False)
    all = serializers.BooleanField(required=False)


class DeploymentCreateSerializer(ChosenSerializer):
    """Devices that are to run a bundle. The bundle by its id, or by its version when only one has it."""

    bundle = serializers.UUIDField(required=False)
    bundle_version = serializers.CharField(max_length=64, required=False)
    target_devices = serializers.ListField(
        child=serializers.UUIDField(), max_length=10_000, required=False, help_text="The same as `devices`."
    )
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    starts_at = serializers.DateTimeField(required=False, allow_null=True)
    window_starts_at = serializers.TimeField(required=False, allow_null=True)
    window_minutes = serializers.IntegerField(min_value=1, max_value=1440, required=False, allow_null=True)
    window_timezone = serializers.CharField(max_length=50, required=False)
    timeout_seconds = serializers.IntegerField(
        min_value=TIMEOUT_SECONDS[0], max_value=TIMEOUT_SECONDS[1], required=False
    )
    soak_seconds = serializers.IntegerField(min_value=SOAK_SECONDS[0], max_value=SOAK_SECONDS[1], required=False)
    max_attempts = serializers.IntegerField(min_value=ATTEMPTS[0], max_value=ATTEMPTS[1], required=False)
    allow_downgrade = serializers.BooleanField(required=False)
    rolls_back_on_failure = serializers.BooleanField(required=False)


class ReasonSerializer(serializers.Serializer[Any]):
    """Why a device does not get a bundle; one that is not final goes away by itself."""

    code = serializers.CharField()
    text = serializers.CharField()
    is_final = serializers.BooleanField()


class RefusedSerializer(serializers.Serializer[Any]):
    """A device that would not get it."""

    device = serializers.UUIDField()
    name = serializers.CharField()
    reasons = ReasonSerializer(many=True)


class DeploymentPreviewSerializer(serializers.Serializer[Any]):
    """Who would get it, and who would not; of each at most a hundred are named."""

    eligible = serializers.IntegerField()
    refused = serializers.IntegerField()
    bytes = serializers.IntegerField(help_text="What all of them would download.")
    devices = serializers.ListField(child=serializers.CharField())
    refusals = RefusedSerializer(many=True)


class DeploymentMadeSerializer(serializers.Serializer[Any]):
    """A deployment, and which devices were left out; at most a hundred are named."""

    deployment_id = serializers.UUIDField()
    status = serializers.CharField()
    targets = serializers.IntegerField()
    refusals = RefusedSerializer(many=True)


class CancelSerializer(serializers.Serializer[Any]):
    """Why it is called off."""

    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)


class RollbackSerializer(serializers.Serializer[Any]):
    """Which devices go back: to the version, or each to its own last good one."""

    target_device_ids = serializers.ListField(child=serializers.UUIDField(), max_length=10_000, required=False)
    groups = serializers.ListField(child=serializers.SlugField(max_length=50), max_length=100, required=False)
    all = serializers.BooleanField(required=False)
    bundle_version = serializers.CharField(max_length=64, required=False)
    soak_seconds = serializers.IntegerField(min_value=SOAK_SECONDS[0], max_value=SOAK_SECONDS[1], required=False)
    all_or_none = serializers.BooleanField(required=False, help_text="Refuse when one of them cannot.")


class DeploymentRollbackSerializer(serializers.Serializer[Any]):
    """Where the devices that a deployment reached go: to this version, or each to its own last good one."""

    target_version = serializers.CharField(max_length=64, required=False)
    soak_seconds = serializers.IntegerField(min_value=SOAK_SECONDS[0], max_value=SOAK_SECONDS[1], required=False)
    all_or_none = serializers.BooleanField(required=False, help_text="Refuse when one of them cannot.")


class WayBackSerializer(serializers.Serializer[Any]):
    """Where one device would go back to."""

    device = serializers.UUIDField()
    name = serializers.CharField()
    runs = serializers.CharField()
    bundle = serializers.CharField()


class RollbackPreviewSerializer(serializers.Serializer[Any]):
    """Who would be sent back, and who cannot."""

    eligible = serializers.IntegerField()
    refused = serializers.IntegerField()
    ways = WayBackSerializer(many=True)
    refusals = RefusedSerializer(many=True)


class ForceQuitSerializer(serializers.Serializer[Any]):
    """The device that is not waited for any more."""

    device = serializers.UUIDField()


class VerifySerializer(serializers.Serializer[Any]):
    """The SHA-256 of the file that somebody has; left out: only whether the stored one is whole."""

    checksum = serializers.RegexField(r"^[0-9a-fA-F]{64}\Z", required=False)


class VerifiedSerializer(serializers.Serializer[Any]):
    """Whether the stored file is whole, and the one that was asked about."""

    valid = serializers.BooleanField()
    is_whole = serializers.BooleanField(help_text="The stored file is the one that was uploaded.")
    checksum = serializers.CharField(help_text="The SHA-256 of what was uploaded.")


class ConfigSerializer(serializers.Serializer[Any]):
    """A device's configuration: its own values, what comes of them and its groups, and what it has applied."""

    config_version = serializers.IntegerField(source="version")
    values = SmallJSONField()
    desired = SmallJSONField()
    applied_version = serializers.IntegerField(allow_null=True)
    applied_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()


class GroupConfigSerializer(serializers.Serializer[Any]):
    """What a group's devices inherit."""

    config_version = serializers.IntegerField(source="version")
    values = SmallJSONField()


class ConfigChangeSerializer(serializers.Serializer[Any]):
    """New values in place of all that there were; what is missing is inherited."""

    polling_interval = serializers.IntegerField(min_value=10, max_value=3600, required=False)
    heartbeat_timeout = serializers.IntegerField(min_value=5, max_value=600, required=False)
    deploy_timeout = serializers.IntegerField(min_value=60, max_value=3600, required=False)
    log_level = serializers.ChoiceField(choices=[(level, level) for level in LOG_LEVELS], required=False)
    settings = SmallJSONField(most_bytes=LONGEST, required=False, help_text="For the programs on the device.")
    expected_version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    note = serializers.CharField(max_length=300, required=False, allow_blank=True)

    def to_internal_value(self, data: Any) -> Any:
        """A setting that is misspelt must not pass for one that is left out, which is inherited from then on."""
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({unknown[0]: ["There is no such setting."]})
        return super().to_internal_value(data)


class ConfigRollbackSerializer(serializers.Serializer[Any]):
    """Which version to go back to."""

    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)
    expected_version = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)


@extend_schema_field({"type": "object", "additionalProperties": {}})
class DocumentField(SmallJSONField):
    """A configuration as a whole. Described as an object: null beside anything would be described twice."""


class RevisionSerializer(serializers.ModelSerializer[ConfigRevision]):
    """A version of a configuration."""

    values = SmallJSONField(read_only=True)
    desired = DocumentField(read_only=True, allow_null=True)

    class Meta:
        model = ConfigRevision
        fields: ClassVar[tuple[str, ...]] = ("version", "values", "desired", "note", "actor_name", "created_at")
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class HistoryQuerySerializer(serializers.Serializer[Any]):
    """How many."""

    limit = serializers.IntegerField(min_value=1, max_value=100, default=20)


class WhyNotQuerySerializer(serializers.Serializer[Any]):
    """Which bundle."""

    bundle = serializers.UUIDField()


example(BundleReserveSerializer, "A camera's software", {"name": "camera", "version": "1.4.0", "size_bytes": 2048})
example(
    BundleUploadSerializer,
    "A camera's software, as a form",
    {"file": "…", "manifest": '{"version": "1.4.0"}'},
    media_type="multipart/form-data",
)
example(PieceSerializer, "The first bytes", {"offset": 0, "content": "H4sIAAAAAAAAA+3BAQ=="})
example(BundleChangeSerializer, "For two types", {"device_types": ["pi4", "pi5"]})
example(InvalidateSerializer, "It is bad", {"reason": "It does not start without a network."})
example(PublisherSerializer, "The factory's key", {"name": "factory", "public_key": KEY})
example(DeploymentCreateSerializer, "To the canaries", {"bundle": ID, "groups": ["canaries"], "soak_seconds": 300})
example(CancelSerializer, "With a reason", {"reason": "The wrong bundle."})
example(RollbackSerializer, "One device", {"target_device_ids": [ID]})
example(DeploymentRollbackSerializer, "Each to its last good one", {"soak_seconds": 120})
example(ForceQuitSerializer, "A device that was taken down", {"device": ID})
example(VerifySerializer, "Is it this file?", {"checksum": "a" * 64})
example(ConfigChangeSerializer, "Call less often", {"polling_interval": 300, "expected_version": 3})
example(ConfigRollbackSerializer, "Back to the second", {"version": 2})
