"""Filters of the accounts API."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from accounts.choices import ActorKind
from accounts.models import ApiToken, AuditEntry, User
from accounts.roles import Role


class UserFilter(django_filters.FilterSet):
    """Users by name, role and state."""

    q = django_filters.CharFilter(method="search", label="Part of the username, name or e-mail address.")
    role = django_filters.ChoiceFilter(choices=Role.choices, method="in_role")
    is_suspended = django_filters.BooleanFilter(field_name="suspended_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = User
        fields = ("username", "is_active", "is_service", "region_preference")

    def search(self, users: QuerySet[User], name: str, text: str) -> QuerySet[User]:
        parts = ("username", "email", "first_name", "last_name")
        condition = Q()
        for part in parts:
            condition |= Q(**{f"{part}__icontains": text})
        return users.filter(condition)

    def in_role(self, users: QuerySet[User], name: str, role: str) -> QuerySet[User]:
        return users.filter(groups__name=role)


class TokenFilter(django_filters.FilterSet):
    """Tokens by owner and state."""

    user = django_filters.CharFilter(field_name="user__username")

    class Meta:
        model = ApiToken
        fields = ("name", "is_enabled")


class AuditFilter(django_filters.FilterSet):
    """Audit entries by who, what, on what, from where and when."""

    action = django_filters.CharFilter(method="by_action", label="`server.started`, or `server.` for all of a kind.")
    actor = django_filters.CharFilter(field_name="actor_name")
    actor_kind = django_filters.ChoiceFilter(choices=ActorKind.choices)
    target = django_filters.CharFilter(field_name="target_name", lookup_expr="icontains")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ("actor_id", "target_kind", "target_id", "request_id", "ip", "via", "region_slug")

    def by_action(self, entries: QuerySet[AuditEntry], name: str, action: str) -> QuerySet[AuditEntry]:
        if action.endswith("."):
            return entries.filter(action__startswith=action)
        return entries.filter(action=action)


# `from` is a word of the language, so these two filters cannot be written as attributes.
AuditFilter.base_filters["from"] = AuditFilter.base_filters.pop("since")
AuditFilter.base_filters["to"] = AuditFilter.base_filters.pop("until")
