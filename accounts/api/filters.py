"""Filters of the accounts API."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from accounts import lists
from accounts.choices import ActorKind, InviteState, TokenState
from accounts.models import ApiToken, AuditEntry, Invite, RequestEntry, User
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
    state = django_filters.MultipleChoiceFilter(choices=TokenState.choices, method="in_state")

    class Meta:
        model = ApiToken
        fields = ("name", "is_enabled")

    def in_state(self, tokens: QuerySet[ApiToken], name: str, states: list[str]) -> QuerySet[ApiToken]:
        return lists.tokens_in(tokens, states) if states else tokens


class InviteFilter(SearchFilterSet):
    """Invitations by whom they are for, role and state."""

    find = staticmethod(lists.find_invite)
    role = django_filters.MultipleChoiceFilter(choices=Role.choices)
    state = django_filters.MultipleChoiceFilter(choices=InviteState.choices, method="in_state")

    class Meta:
        model = Invite
        fields: tuple[str, ...] = ()

    def in_state(self, invites: QuerySet[Invite], name: str, states: list[str]) -> QuerySet[Invite]:
        return lists.invites_in(invites, states) if states else invites


class RequestFilter(SearchFilterSet):
    """Requests by who, from where, what, how it was answered and when."""

    find = staticmethod(lists.find_request)
    method = AnyOf()
    answer = django_filters.MultipleChoiceFilter(choices=lists.ANSWERS, method="in_hundreds")
    via = AnyOf()
    ip = IpFilter()
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = RequestEntry
        fields = ("user", "request_id")

    def in_hundreds(self, rows: QuerySet[RequestEntry], name: str, answers: list[str]) -> QuerySet[RequestEntry]:
        return lists.answered(rows, answers) if answers else rows


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


# `from` is a word of the language, so these filters cannot be written as attributes.
for each in (AuditFilter, RequestFilter):
    each.base_filters["from"] = each.base_filters.pop("since")
    each.base_filters["to"] = each.base_filters.pop("until")
