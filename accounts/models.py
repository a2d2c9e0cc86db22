"""Users, their quotas and regions, API tokens, and the audit trail."""

from __future__ import annotations

import ipaddress
import uuid
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import validate_slug
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from knox.models import AbstractAuthToken

from . import roles
from .choices import ActorKind, InviteState, Theme, TokenState
from .fields import CurrentTransaction
from .querysets import (
    ApiTokenQuerySet,
    AuditEntryQuerySet,
    InviteQuerySet,
    RequestEntryQuerySet,
    TokenFamilyQuerySet,
    UserManager,
    fetch_access,
    forget_access,
)
from .scopes import scopes_within
from .validators import validate_network, validate_scope, validate_timezone

if TYPE_CHECKING:
    from .querysets import Access

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class User(AbstractUser):  # type: ignore[django-manager-missing]  # that of tokens: knox has no types
    """A person or a service account. The role is the user's one group (see `accounts.roles`)."""

    email = models.EmailField("e-mail address", blank=True)
    region_preference = models.CharField(
        max_length=50,
        blank=True,
        validators=[validate_slug],
        help_text="Slug of the region that is offered first.",
    )
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    theme = models.CharField(max_length=8, choices=Theme, default=Theme.AUTO)
    token_version = models.PositiveIntegerField(
        default=1, help_text="Raised to make every signed token of this user void at once."
    )
    is_service = models.BooleanField(default=False, help_text="A program: has tokens and no password.")
    suspended_at = models.DateTimeField(null=True, blank=True)
    suspension_reason = models.CharField(max_length=500, blank=True)

    api_token: ApiToken | None = None  # set on the instance while a request by API token is served

    objects: ClassVar[UserManager] = UserManager()

    class Meta(AbstractUser.Meta):
        abstract = False
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="accounts_user_email_once",
                violation_error_message="A user with this e-mail address already exists.",
            ),
            models.UniqueConstraint(
                Lower("username"),
                name="accounts_user_username_once",
                violation_error_message="A user with that username already exists.",
            ),
        ]

    @property
    def is_suspended(self) -> bool:
        return self.suspended_at is not None

    @property
    def can_act(self) -> bool:
        """Whether this account may do anything at all."""
        return self.is_active and not self.is_suspended

    @cached_property
    def access(self) -> Access:
        """Roles and regions, fetched at most once in the life of the instance."""
        return fetch_access(self)

    @property
    def reach(self) -> tuple[Any, ...]:
        """All that decides which rows he may see: the key of statements that are narrowed to him."""
        token = self.api_token
        limits = None if token is None else (tuple(token.scopes), tuple(token.device_groups))
        return (self.pk, self.access, self.can_act, limits)

    @property
    def role(self) -> str:
        """The strongest role, "" for none."""
        return roles.strongest(self.access.roles)

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        forget_access(self)
        super().refresh_from_db(*args, **kwargs)


class RegionScope(models.Model):
    """A region to which an Operator is limited. Without any he works in all."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="region_scopes")
    region_slug = models.CharField(max_length=50, validators=[validate_slug])

    class Meta:
        ordering = ["region_slug"]
        constraints = [models.UniqueConstraint(fields=["user", "region_slug"], name="accounts_regionscope_once")]

    def __str__(self) -> str:
        return f"{self.user}: {self.region_slug}"


class Quota(models.Model):
    """A user's own limits; an empty one means that of the role."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="quota")
    servers = models.PositiveIntegerField(null=True, blank=True)
    memory_mb = models.PositiveIntegerField(null=True, blank=True)
    cpu_percent = models.PositiveIntegerField(null=True, blank=True)
    disk_mb = models.PositiveIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return f"quota of {self.user}"


class ApiToken(AbstractAuthToken):
    """A program's key to the API: stored hashed, limited to scopes, networks and time."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="auth_token_set")  # the name that knox uses
    digest = models.CharField(max_length=128, unique=True, editable=False)
    name = models.CharField(max_length=100)
    scopes = ArrayField(
        models.CharField(max_length=60, validators=[validate_scope]),
        default=list,
        blank=True,
        help_text="Verbs this token is limited to; empty: all of its owner's.",
    )
    allowed_networks = ArrayField(
        models.CharField(max_length=50, validators=[validate_network]),
        default=list,
        blank=True,
        help_text="Addresses it may be used from; empty: everywhere.",
    )
    device_groups = ArrayField(
        models.SlugField(max_length=50),
        default=list,
        db_default=[],
        blank=True,
        help_text="Device groups to which it may deploy, and nothing else beside uploading bundles; empty: no limit.",
    )
    is_enabled = models.BooleanField(default=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_ip = models.GenericIPAddressField(null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    def is_expired(self, now: datetime | None = None) -> bool:
        return self.expiry is not None and self.expiry <= (now or timezone.now())

    @property
    def state(self) -> TokenState:
        if self.is_expired():
            return TokenState.EXPIRED
        return TokenState.ON if self.is_enabled else TokenState.OFF

    def allows_address(self, ip: str | None) -> bool:
        """Whether it may be used from there; an unknown address is outside every network."""
        if not self.allowed_networks:
            return True
        if ip is None:
            return False
        address = ipaddress.ip_address(ip)
        return any(address in ipaddress.ip_network(network) for network in self.allowed_networks)

    def is_within(self, other: ApiToken) -> bool:
        """Whether it may do nothing that the other may not: verbs, time, places and devices."""
        lasts_longer = other.expiry is not None and (self.expiry is None or self.expiry > other.expiry)
        is_narrower = self._networks_within(other) and self._groups_within(other)
        return scopes_within(self.scopes, other.scopes) and not lasts_longer and is_narrower

    def _groups_within(self, other: ApiToken) -> bool:
        inner, outer = set(self.device_groups), set(other.device_groups)
        return not outer or (bool(inner) and inner <= outer)

    def _networks_within(self, other: ApiToken) -> bool:
        outer = [ipaddress.ip_network(network) for network in other.allowed_networks]
        inner = [ipaddress.ip_network(network) for network in self.allowed_networks]
        return not outer or (bool(inner) and all(any(_is_subnet(net, big) for big in outer) for net in inner))


def _is_subnet(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # same version


class TokenFamily(models.Model):
    """One login by signed tokens; `count` says which of its refresh tokens is the present one. See `accounts.jwt`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="token_families")
    count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)

    objects = TokenFamilyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "login"
        verbose_name_plural = "token families"

    def __str__(self) -> str:
        return f"login {self.pk}"


class Invite(models.Model):
    """A link by which one person may register, with the role he is to have. Its secret is kept as a digest."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=20)
    note = models.CharField(max_length=100, blank=True, help_text="Whom it is for.")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    used_at = models.DateTimeField(null=True)

    objects = InviteQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.note or f"invite {self.pk}"

    @property
    def state(self) -> InviteState:
        if self.used_at:
            return InviteState.USED
        return InviteState.OPEN if self.expires_at > timezone.now() else InviteState.EXPIRED


class AuditSeal(models.Model):
    """A link of the hash chain over audit entries; see `accounts.audit_chain`."""

    created_at = models.DateTimeField(default=timezone.now)
    entry_count = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    archived_at = models.DateTimeField(null=True, blank=True, help_text="When its entries were moved into a file.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"seal {self.pk}"


class AuditEntry(models.Model):
    """One thing that somebody did. Never changed: a database trigger refuses it."""

    at = models.DateTimeField(default=timezone.now)
    xid = models.BigIntegerField(db_default=CurrentTransaction(), help_text="PostgreSQL's transaction.")
    actor_kind = models.CharField(max_length=16, choices=ActorKind)
    actor_id = models.CharField(max_length=40, blank=True)
    actor_name = models.CharField(max_length=150, blank=True)
    token_name = models.CharField(max_length=100, blank=True)
    via = models.CharField(max_length=16, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=80)
    target_kind = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=60, blank=True)
    target_name = models.CharField(max_length=200, blank=True)
    region_slug = models.CharField(max_length=50, blank=True)
    data = models.JSONField(default=dict, blank=True)
    seal = models.ForeignKey(
        AuditSeal, null=True, blank=True, on_delete=models.PROTECT, related_name="entries", editable=False
    )

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            # Rows are only ever appended, so their time follows their place on disk.
            BrinIndex(fields=["at"], name="accounts_audit_at"),
            models.Index(fields=["id"], condition=models.Q(seal=None), name="accounts_audit_unsealed"),
            models.Index(fields=["action", "-id"], name="accounts_audit_action"),
            models.Index(fields=["actor_name", "-id"], name="accounts_audit_name"),
            models.Index(fields=["actor_kind", "actor_id", "-id"], name="accounts_audit_actor"),
            models.Index(fields=["target_kind", "target_id", "-id"], name="accounts_audit_target"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name} {self.action} {self.target_name}".rstrip()


class RequestEntry(models.Model):
    """One request: who asked what, from where, and how it was answered. See `accounts.requests_log`."""

    at = models.DateTimeField()
    user = models.CharField(max_length=150, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    via = models.CharField(max_length=16, blank=True)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=500)
    status = models.PositiveSmallIntegerField()
    ms = models.FloatField()
    request_id = models.CharField(max_length=64, blank=True)

    objects = RequestEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "request"
        indexes = [
            BrinIndex(fields=["at"], name="accounts_request_at"),
            models.Index(fields=["user", "-id"], name="accounts_request_user"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


class AuditShipment(models.Model):
    """How far the audit trail has been shipped to one place; see `accounts.audit_shipping`."""

    sink = models.CharField(max_length=20, unique=True)
    seal = models.PositiveBigIntegerField(default=0, help_text="The last seal that arrived whole.")
    shipped_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.sink} up to seal {self.seal}"
