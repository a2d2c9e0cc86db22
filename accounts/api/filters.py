"""Filters of the accounts API."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from accounts import lists
from accounts.choices import ActorKind
from accounts.models import ApiToken, AuditEntry, User
from accounts.roles import Role
from hub.api.filters import AnyOf, IpFilter, SearchFilterSet


class UserFilter(SearchFilterSet):
    """Users by name, role and state."""

    find = staticmethod(lists.find_user)
    role = django_filters.MultipleChoiceFilter(choices=Role.choices, method="in_role")
    is_suspended = django_filters.BooleanFilter(field_name="suspended_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = User
        fields = ("username", "is_active", "is_service", "region_preference")

    def in_role(self, users: QuerySet[User], name: str, wanted: list[str]) -> QuerySet[User]:
        return lists.in_roles(users, wanted) if wanted else users


class TokenFilter(SearchFilterSet):
    """Tokens by name, owner and state."""

    find = staticmethod(lists.find_token)
    user = django_filters.CharFilter(field_name="user__username")

    class Meta:
        model = ApiToken
        fields = ("name", "is_enabled")


class AuditFilter(SearchFilterSet):
    """Audit entries by who, what, on what, from where and when."""

    find = staticmethod(lists.find_entry)
    noun = AnyOf(method="about")
    action = django_filters.CharFilter(method="by_action", label="`server.started`, or `server.` for all of a kind.")
    actor = django_filters.CharFilter(field_name="actor_name")
    actor_kind = django_filters.MultipleChoiceFilter(choices=ActorKind.choices)
    via = AnyOf()
    ip = IpFilter()
    target = django_filters.CharFilter(field_name="target_name", lookup_expr="icontains")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ("actor_id", "target_kind", "target_id", "request_id", "region_slug")

    def about(self, entries: QuerySet[AuditEntry], name: str, nouns: list[str]) -> QuerySet[AuditEntry]:
        return lists.about(entries, nouns) if nouns else entries

    def by_action(self, entries: QuerySet[AuditEntry], name: str, action: str) -> QuerySet[AuditEntry]:
        if action.endswith("."):
            return entries.filter(action__startswith=action)
        return entries.filter(action=action)


# `from` is a word of the language, so these two filters cannot be written as attributes.
AuditFilter.base_filters["from"] = AuditFilter.base_filters.pop("since")
AuditFilter.base_filters["to"] = AuditFilter.base_filters.pop("until")
