"""What the lists of the audit trail, requests, users, invitations and tokens can do."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from hub.pages.lists import Chip, Column, Spec, Tab

from .choices import ActorKind, InviteState, TokenState
from .roles import Role

NOUNS = ("server", "token", "user", "node", "pool", "address", "region", "template", "login")


def about(rows: QuerySet[Any], nouns: list[str]) -> QuerySet[Any]:
    """Audit entries about things of these kinds."""
    found = Q()
    for noun in nouns:
        found |= Q(action__startswith=f"{noun}.")
    return rows.filter(found)


def in_roles(rows: QuerySet[Any], names: list[str]) -> QuerySet[Any]:
    """Users in one of these roles."""
    return rows.filter(pk__in=Group.objects.filter(name__in=names).values("user__pk"))


def _noun_choices(request: HttpRequest) -> list[tuple[str, str]]:
    return [(noun, noun.capitalize()) for noun in NOUNS]


def find_entry(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Audit entries by person, object, action or request id."""
    found = Q(actor_name__iexact=text) | Q(target_name__icontains=text) | Q(action__icontains=text)
    return rows.filter(found | Q(request_id=text) | Q(target_id=text))


def find_user(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Users by any of their names or their address."""
    found = Q()
    for part in ("username", "email", "first_name", "last_name"):
        found |= Q(**{f"{part}__icontains": text})
    return rows.filter(found)


def find_token(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Tokens by name, owner or the way they begin."""
    return rows.filter(Q(name__icontains=text) | Q(user__username__iexact=text) | Q(token_key=text))


AUDIT = Spec(
    key="audit",
    columns=(
        Column("what", "What", order="action", value=lambda entry: entry.action, is_fixed=True),
        Column("target", "On what", order="target_name", value=lambda entry: entry.target_name, is_fixed=True),
        Column("who", "Who", order="actor_name", value=lambda entry: entry.actor_name),
        Column("more", "Details", value=lambda entry: str(entry.data or "")),
        Column("via", "Through", order="via", value=lambda entry: entry.via),
        Column("ip", "From", value=lambda entry: entry.ip),
        Column("request", "Request", value=lambda entry: entry.request_id, is_default=False),
        Column("when", "When", order="id", value=lambda entry: entry.at),
    ),
    chips=(
        Chip("noun", "About", _noun_choices, by=about),
        Chip("via", "Through", lambda request: [("web", "Web"), ("api", "API"), ("admin", "Admin"), ("job", "Job")]),
        Chip("actor_kind", "By", lambda request: ActorKind.choices),
    ),
    tabs=(
        Tab("today", "Last 24 h", lambda user: Q(at__gte=Now() - timedelta(days=1))),
        Tab("mine", "Mine", lambda user: Q(actor_kind=ActorKind.USER, actor_id=str(user.pk))),
    ),
    search=find_entry,
    search_hint="Person, object, action or request id",
    order="-id",
)


def find_request(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Requests by user, address, path or request id."""
    found = Q(user__iexact=text) | Q(path__icontains=text) | Q(request_id=text)
    with contextlib.suppress(ValueError):
        found |= Q(ip=str(ip_address(text)))
    return rows.filter(found)


ANSWERS: Final = [(f"{first}00", f"{first}xx") for first in "2345"]


def answered(rows: QuerySet[Any], hundreds: list[str]) -> QuerySet[Any]:
    """Requests by the hundred of their answer."""
    found = Q()
    for value in hundreds:
        found |= Q(status__gte=int(value), status__lt=int(value) + 100)
    return rows.filter(found)


def _methods(request: HttpRequest) -> list[tuple[str, str]]:
    return [(name, name) for name in ("GET", "POST", "PUT", "PATCH", "DELETE")]


REQUESTS = Spec(
    key="requests",
    columns=(
        Column("what", "Request", order="path", value=lambda row: f"{row.method} {row.path}", is_fixed=True),
        Column("status", "Answer", order="status", value=lambda row: row.status, is_fixed=True),
        Column("user", "Who", order="user", value=lambda row: row.user),
        Column("ip", "From", value=lambda row: row.ip),
        Column("via", "Through", order="via", value=lambda row: row.via),
        Column("ms", "Took", order="ms", value=lambda row: row.ms),
        Column("request", "Request id", value=lambda row: row.request_id, is_default=False),
        Column("when", "When", order="id", value=lambda row: row.at),
    ),
    chips=(
        Chip("method", "Method", _methods),
        Chip("answer", "Answer", lambda request: ANSWERS, by=answered),
        Chip("via", "Through", lambda request: [("web", "Web"), ("api", "API"), ("admin", "Admin")]),
    ),
    search=find_request,
    search_hint="Person, address, path or request id",
    order="-id",
)

USERS = Spec(
    key="users",
    columns=(
        Column("name", "Name", order="username", value=lambda user: user.username, is_fixed=True),
        Column("role", "Role", value=lambda user: ", ".join(user._role_names), is_fixed=True),
        Column("status", "Status", order="is_active", value=lambda user: "active" if user.can_act else "not active"),
        Column("email", "E-mail", order="email", value=lambda user: user.email),
        Column("login", "Last login", order="last_login", value=lambda user: user.last_login),
        Column("joined", "Since", order="date_joined", value=lambda user: user.date_joined),
    ),
    chips=(Chip("role", "Role", lambda request: Role.choices, by=in_roles),),
    tabs=(
        Tab("staff", "Staff", lambda user: Q(is_staff=True)),
        Tab("suspended", "Suspended", lambda user: Q(suspended_at__isnull=False)),
        Tab("services", "Services", lambda user: Q(is_service=True)),
    ),
    search=find_user,
    search_hint="Name or e-mail",
    order="username",
)


def find_invite(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Invitations by whom they are for, or who made or used them."""
    found = Q(note__icontains=text) | Q(created_by__username__iexact=text) | Q(used_by__username__iexact=text)
    return rows.filter(found)


def invites_in(rows: QuerySet[Any], states: list[str]) -> QuerySet[Any]:
    """Invitations in one of these states."""
    is_open = Q(used_at=None, expires_at__gt=Now())
    conditions = {
        InviteState.OPEN: is_open,
        InviteState.USED: Q(used_at__isnull=False),
        InviteState.EXPIRED: Q(used_at=None) & ~is_open,
    }
    return _any_of(rows, conditions, states)


def tokens_in(rows: QuerySet[Any], states: list[str]) -> QuerySet[Any]:
    """API tokens in one of these states."""
    is_over = Q(expiry__isnull=False, expiry__lte=Now())
    conditions = {
        TokenState.ON: Q(is_enabled=True) & ~is_over,
        TokenState.OFF: Q(is_enabled=False) & ~is_over,
        TokenState.EXPIRED: is_over,
    }
    return _any_of(rows, conditions, states)


def _any_of(rows: QuerySet[Any], conditions: Mapping[Any, Q], keys: list[str]) -> QuerySet[Any]:
    found = Q()
    for key in keys:
        found |= conditions[key]
    return rows.filter(found)


INVITES = Spec(
    key="invites",
    columns=(
        Column("note", "For", order="note", value=lambda invite: invite.note, is_fixed=True),
        Column("role", "Becomes", order="role", value=lambda invite: invite.role),
        Column("state", "State", value=lambda invite: invite.state, is_fixed=True),
        Column(
            "by",
            "By",
            order="created_by__username",
            value=lambda invite: invite.created_by.username if invite.created_by else "",
        ),
        Column("made", "Made", order="created_at", value=lambda invite: invite.created_at, is_default=False),
        Column("ends", "Ends", order="expires_at", value=lambda invite: invite.expires_at),
    ),
    chips=(
        Chip("role", "Becomes", lambda request: Role.choices),
        Chip("state", "State", lambda request: InviteState.choices, by=invites_in),
    ),
    search=find_invite,
    search_hint="Whom it is for, or by whom",
    order="-created_at",
)

TOKENS = Spec(
    key="tokens",
    columns=(
        Column("name", "Name", order="name", value=lambda token: token.name, is_fixed=True),
        Column("state", "State", value=lambda token: token.state, is_fixed=True),
        Column("scopes", "May", value=lambda token: ", ".join(token.scopes)),
        Column("used", "Last used", order="last_used_at", value=lambda token: token.last_used_at),
        Column("made", "Made", order="created", value=lambda token: token.created),
        Column("ends", "Ends", order="expiry", value=lambda token: token.expiry),
    ),
    chips=(Chip("state", "State", lambda request: TokenState.choices, by=tokens_in),),
    search=find_token,
    search_hint="Name, or how it begins",
    order="name",
)
