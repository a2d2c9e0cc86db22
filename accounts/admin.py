"""Django admin of accounts. What is saved goes through the services, so every rule and audit entry is theirs."""

from __future__ import annotations

from typing import Any

from allauth.account.admin import EmailAddressAdmin
from allauth.account.models import EmailAddress
from allauth.mfa.admin import AuthenticatorAdmin
from allauth.mfa.models import Authenticator
from allauth.socialaccount.admin import SocialAccountAdmin, SocialAppAdmin, SocialTokenAdmin
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions.admin import UserSessionAdmin
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ActionsAdmin, ReadOnlyAdmin

from . import second_factor, services, sessions, tokens
from .forms import UserAdminForm
from .models import ApiToken, AuditEntry, AuditSeal, AuditShipment, RequestEntry, User
from .quotas import FIELDS as QUOTA_FIELDS

# The groups are the roles, and what those may do stands in accounts/roles.py. The pages that Django and allauth make
# would change rows without a service and without a trace. They are made when their admin modules are imported, which is
# why we import a name of each.
_FOREIGN = {
    Group: GroupAdmin,
    EmailAddress: EmailAddressAdmin,
    Authenticator: AuthenticatorAdmin,
    UserSession: UserSessionAdmin,
    SocialAccount: SocialAccountAdmin,
    SocialApp: SocialAppAdmin,  # the provider is configured by the environment
    SocialToken: SocialTokenAdmin,
}
for _model, _theirs in _FOREIGN.items():
    if admin.site.is_registered(_model) and type(admin.site.get_model_admin(_model)) is _theirs:
        admin.site.unregister(_model)

IDENTITY = ("username", "email", "first_name", "last_name", "is_service")


@admin.register(User)
class UserAdmin(ActionsAdmin[User]):
    """People and service accounts with their role, regions and quota."""

    form = UserAdminForm
    list_display = ("username", "email", "role", "is_active", "is_suspended", "is_service", "last_login")
    list_filter = ("groups", "is_active", "is_service", ("suspended_at", admin.EmptyFieldListFilter))
    search_fields = ("username", "email", "first_name", "last_name")
    readonly_fields = ("date_joined", "last_login", "suspended_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return User.objects.with_access()

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type("BoundUserAdminForm", (form,), {"actor": request.user})

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        identity = IDENTITY if obj else (*IDENTITY, "password")
        sets = [
            (None, {"fields": identity}),
            ("Role", {"fields": ("role", "regions")}),
            ("Quota", {"fields": [f"quota_{name}" for name in QUOTA_FIELDS]}),
            ("Preferences", {"fields": ("region_preference", "timezone", "theme")}),
        ]
        if obj:
            state = ("is_active", "suspension_reason", "suspended_at", "date_joined", "last_login")
            sets.insert(1, ("State", {"fields": state}))
        return sets

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return (*self.readonly_fields, "username", "is_service") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Nothing is left to save: the form called the services while it could still show what they refused."""
        if not change:
            obj.pk = form.saved.pk
            obj._state.adding = False

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # an account is closed, not deleted: what it owns and did stays accounted for

    @admin.display(boolean=True, description="suspended")
    def is_suspended(self, user: User) -> bool:
        return user.is_suspended

    @admin.display(description="role")
    def role(self, user: User) -> str:
        return user.role or "none"


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin[ApiToken]):
    """Everybody's tokens, without their secrets: seen, switched off, revoked."""

    list_display = ("name", "user", "token_key", "is_enabled", "created", "expiry", "last_used_at")
    list_filter = ("is_enabled",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "token_key")
    fields = (
        "name",
        "user",
        "token_key",
        "scopes",
        "allowed_networks",
        "device_groups",
        "is_enabled",
        "created",
        "expiry",
        "last_used_at",
        "last_used_ip",
    )
    actions = ("revoke", "disable", "enable")

    @admin.action(description="Revoke the chosen tokens", permissions=["view"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        self.for_each(request, queryset, lambda token: tokens.revoke_token(token, actor=_actor(request)))

    @admin.action(description="Switch the chosen tokens off", permissions=["view"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        self.for_each(request, queryset, lambda token: tokens.set_token_enabled(token, False, actor=_actor(request)))

    @admin.action(description="Switch the chosen tokens on", permissions=["view"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        self.for_each(request, queryset, lambda token: tokens.set_token_enabled(token, True, actor=_actor(request)))


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin[AuditEntry]):
    """The audit trail, newest first."""

    list_display = ("at", "actor_name", "action", "target_kind", "target_name", "via", "ip")
    list_filter = ("actor_kind", "via", "target_kind")
    search_fields = ("=actor_name", "=request_id", "action", "target_name")
    show_full_result_count = False  # counting a long trail costs more than it tells

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return AuditEntry.objects.visible_to(_actor(request))


@admin.register(AuditSeal)
class AuditSealAdmin(ReadOnlyAdmin[AuditSeal]):
    """Links of the audit trail's hash chain."""

    list_display = ("id", "created_at", "entry_count", "digest")
    search_fields = ("=digest",)


@admin.register(AuditShipment)
class AuditShipmentAdmin(ReadOnlyAdmin[AuditShipment]):
    """How far the audit trail was sent to syslog and webhook."""

    list_display = ("sink", "seal", "shipped_at", "error")
    search_fields = ("=sink",)


@admin.register(RequestEntry)
class RequestEntryAdmin(ReadOnlyAdmin[RequestEntry]):
    """The request log, newest first."""

    list_display = ("at", "user", "method", "path", "status", "ms", "ip", "via")
    list_filter = ("method", "via")
    search_fields = ("=user", "=ip", "=request_id", "path")
    show_full_result_count = False


@admin.register(EmailAddress)
class AddressAdmin(ReadOnlyAdmin[EmailAddress]):
    """E-mail addresses of people and whether they are confirmed."""

    list_display = ("email", "user", "primary", "verified")
    list_filter = ("verified",)
    list_select_related = ("user",)
    search_fields = ("email", "user__username")
    actions = ("vouch",)

    @admin.action(description="Vouch for the addresses", permissions=["view"])
    def vouch(self, request: HttpRequest, queryset: QuerySet[EmailAddress]) -> None:
        self.for_each(request, queryset, lambda address: services.verify_user(address.user, actor=_actor(request)))


@admin.register(Authenticator)
class FactorAdmin(ReadOnlyAdmin[Authenticator]):
    """Second factors of people, without their secrets."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    exclude = ("data",)
    actions = ("remove",)

    @admin.action(description="Take all factors of these people away", permissions=["view"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Authenticator]) -> None:
        people = User.objects.filter(pk__in=queryset.values("user"))
        self.for_each(request, people, lambda user: second_factor.remove_factors(user, actor=_actor(request)))


@admin.register(UserSession)
class SessionAdmin(ReadOnlyAdmin[UserSession]):
    """Browsers in which people are logged in."""

    list_display = ("user", "created_at", "last_seen_at", "ip", "user_agent")
    list_select_related = ("user",)
    search_fields = ("user__username", "=ip")
    exclude = ("data",)
    actions = ("end",)

    @admin.action(description="End the chosen sessions", permissions=["view"])
    def end(self, request: HttpRequest, queryset: QuerySet[UserSession]) -> None:
        self.for_each(request, queryset, lambda session: sessions.end_session(session, actor=_actor(request)))


def _actor(request: HttpRequest) -> User:
    """The person at work: admin pages are for people who logged in."""
    return request.user  # type: ignore[return-value]  # never anonymous here
