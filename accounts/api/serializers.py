"""The shape of accounts in the API. What may be done is decided by the services."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.choices import InviteState
from accounts.invites import LONGEST_DAYS
from accounts.models import ApiToken, AuditEntry, Invite, RequestEntry, User
from accounts.permissions import can
from accounts.quotas import FIELDS as QUOTA_FIELDS
from accounts.quotas import limits_of
from accounts.roles import VERBS, Role
from accounts.services import PROFILE_FIELDS, PURGE_PHRASE
from accounts.tokens import LONGEST_OVERLAP_SECONDS
from accounts.validators import validate_network, validate_scope


class QuotaSerializer(serializers.Serializer[Any]):
    """Limits of one owner; null is unlimited, or in a request: as the role has it."""

    servers = serializers.IntegerField(min_value=0, allow_null=True, required=False)
    memory_mb = serializers.IntegerField(min_value=0, allow_null=True, required=False)
    cpu_percent = serializers.IntegerField(min_value=0, allow_null=True, required=False)
    disk_mb = serializers.IntegerField(min_value=0, allow_null=True, required=False)


class UserSerializer(serializers.ModelSerializer[User]):
    """A user as an Admin, or he himself, sees him."""

    email = serializers.CharField(read_only=True, help_text="May be empty.")
    role = serializers.ChoiceField(choices=[("", "None"), *Role.choices], read_only=True)
    regions = serializers.SerializerMethodField(help_text="Regions an Operator is limited to; null: all.")
    quota = serializers.SerializerMethodField(help_text="The limits that hold; null is unlimited.")

    class Meta:
        model = User
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "username",
            *PROFILE_FIELDS,
            "role",
            "regions",
            "quota",
            "is_active",
            "is_service",
            "suspended_at",
            "suspension_reason",
            "date_joined",
            "last_login",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_regions(self, user: User) -> list[str] | None:
        regions = user.access.regions
        return None if regions is None else sorted(regions)

    @extend_schema_field(QuotaSerializer)
    def get_quota(self, user: User) -> dict[str, int | None]:
        own = getattr(user, "quota", None)
        return asdict(limits_of(user.role, {name: getattr(own, name) for name in QUOTA_FIELDS} if own else {}))


class MeSerializer(UserSerializer):
    """The asker himself, with all that he (or his token) may do at all."""

    verbs = serializers.SerializerMethodField()

    class Meta(UserSerializer.Meta):
        fields = (*UserSerializer.Meta.fields, "verbs")
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_verbs(self, user: User) -> list[str]:
        return sorted(verb for verb in VERBS if can(user, verb))


class ProfileSerializer(serializers.ModelSerializer[User]):
    """What may be changed about a user."""

    class Meta:
        model = User
        fields = PROFILE_FIELDS
        extra_kwargs: ClassVar[dict[str, Any]] = {"email": {"validators": []}}


class UserCreateSerializer(serializers.ModelSerializer[User]):
    """A new user. Without a password he cannot log in with one."""

    role = serializers.ChoiceField(choices=Role.choices, default=Role.PLAYER)
    password = serializers.CharField(write_only=True, required=False, trim_whitespace=False, max_length=1024)

    class Meta:
        model = User
        fields = ("username", "password", "role", "is_service", *PROFILE_FIELDS)
        # Uniqueness is the service's to check: without regard to case, and named for the field at fault.
        extra_kwargs: ClassVar[dict[str, Any]] = {"email": {"validators": []}}


class RoleSerializer(serializers.Serializer[Any]):
    """A user's new role."""

    role = serializers.ChoiceField(choices=Role.choices)


class RegionsSerializer(serializers.Serializer[Any]):
    """The regions an Operator is limited to; none: all."""

    regions = serializers.ListField(child=serializers.SlugField(max_length=50), max_length=100)


class SuspensionSerializer(serializers.Serializer[Any]):
    """Why an account is suspended; the person reads it."""

    reason = serializers.CharField(max_length=500)


class PasswordSerializer(serializers.Serializer[Any]):
    """A new password."""

    password = serializers.CharField(max_length=1024, trim_whitespace=False)


class PurgeSerializer(serializers.Serializer[Any]):
    """The phrase that says it is meant."""

    phrase = serializers.CharField(max_length=100, help_text=PURGE_PHRASE)


class PurgedSerializer(serializers.Serializer[Any]):
    """How many accounts went, and why others stayed."""

    deleted = serializers.IntegerField()
    kept_admins = serializers.IntegerField()
    kept_owners = serializers.IntegerField(help_text="Who still own something.")


class InviteSerializer(serializers.Serializer[Any]):
    """Whom an invitation is for."""

    role = serializers.ChoiceField(choices=Role.choices, default=Role.PLAYER)
    note = serializers.CharField(max_length=100, default="", allow_blank=True)
    days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, default=7)


class InvitedSerializer(serializers.Serializer[Any]):
    """An invitation; its link is in this answer and nowhere else."""

    link = serializers.CharField()
    role = serializers.CharField()
    note = serializers.CharField()
    expires_at = serializers.DateTimeField()


class InviteRowSerializer(serializers.ModelSerializer[Invite]):
    """An invitation without its link."""

    state = serializers.ChoiceField(choices=InviteState.choices, read_only=True)
    created_by = serializers.CharField(source="created_by.username", default="", read_only=True)
    used_by = serializers.CharField(source="used_by.username", default="", read_only=True)

    class Meta:
        model = Invite
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "role",
            "note",
            "state",
            "created_by",
            "created_at",
            "expires_at",
            "used_by",
            "used_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    user = serializers.CharField(source="user.username", read_only=True)
    created_at = serializers.DateTimeField(source="created", read_only=True)
    expires_at = serializers.DateTimeField(source="expiry", read_only=True, allow_null=True)
    prefix = serializers.CharField(source="token_key", read_only=True, help_text="How the token begins.")

    class Meta:
        model = ApiToken
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "name",
            "user",
            "prefix",
            "scopes",
            "allowed_networks",
            "device_groups",
            "is_enabled",
            "created_at",
            "expires_at",
            "last_used_at",
            "last_used_ip",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class NewTokenSerializer(TokenSerializer):
    """A token that was just made, with its secret: this is the only answer that holds it."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "token")
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class TokenCreateSerializer(serializers.Serializer[Any]):
    """What a new token is to be."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=60, validators=[validate_scope]), default=list, max_length=100
    )
    allowed_networks = serializers.ListField(
        child=serializers.CharField(max_length=50, validators=[validate_network]), default=list, max_length=50
    )
    device_groups = serializers.ListField(
        child=serializers.SlugField(max_length=50),
        default=list,
        max_length=50,
        help_text="May upload bundles and deploy to these groups of devices, and nothing else.",
    )
    expires_at = serializers.DateTimeField(default=None, allow_null=True)
    user = serializers.CharField(
        required=False, max_length=150, help_text="Whose it is to be; for an Admin only, and a service account, say."
    )


class TokenUpdateSerializer(serializers.Serializer[Any]):
    """Switch a token off or on."""

    is_enabled = serializers.BooleanField()


class TokenRotateSerializer(serializers.Serializer[Any]):
    """For how long the old token still works."""

    overlap_seconds = serializers.IntegerField(min_value=0, max_value=LONGEST_OVERLAP_SECONDS, default=0)


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """One audit entry."""

    is_sealed = serializers.SerializerMethodField()

    class Meta:
        model = AuditEntry
        fields = (
            "id",
            "at",
            "actor_kind",
            "actor_id",
            "actor_name",
            "token_name",
            "via",
            "ip",
            "request_id",
            "action",
            "target_kind",
            "target_id",
            "target_name",
            "region_slug",
            "data",
            "is_sealed",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_is_sealed(self, entry: AuditEntry) -> bool:
        return entry.seal_id is not None


class RequestEntrySerializer(serializers.ModelSerializer[RequestEntry]):
    """One request of the log."""

    class Meta:
        model = RequestEntry
        fields = ("id", "at", "user", "ip", "via", "method", "path", "status", "ms", "request_id")
        read_only_fields: ClassVar[tuple[str, ...]] = fields
