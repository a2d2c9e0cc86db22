"""What the lists of the audit trail and of users can do."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from hub.pages.lists import Chip, Column, Spec, Tab

from .choices import ActorKind
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


class NounChip(Chip):
    """Entries whose action begins with one of these words."""

    def narrow(self, rows: QuerySet[Any], values: list[str]) -> QuerySet[Any]:
        return about(rows, values)


class RoleChip(Chip):
    """Users in one of these roles."""

    def narrow(self, rows: QuerySet[Any], values: list[str]) -> QuerySet[Any]:
        return in_roles(rows, values)


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
        NounChip("noun", "About", _noun_choices),
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


class AnswerChip(Chip):
    """Requests by the hundred of their answer."""

    def narrow(self, rows: QuerySet[Any], values: list[str]) -> QuerySet[Any]:
        found = Q()
        for value in values:
            found |= Q(status__gte=int(value), status__lt=int(value) + 100)
        return rows.filter(found)


def _methods(request: HttpRequest) -> list[tuple[str, str]]:
    return [(name, name) for name in ("GET", "POST", "PUT", "PATCH", "DELETE")]


def _answers(request: HttpRequest) -> list[tuple[str, str]]:
    return [(f"{first}00", f"{first}xx") for first in "2345"]


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
        AnswerChip("answer", "Answer", _answers),
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
    chips=(RoleChip("role", "Role", lambda request: Role.choices),),
    tabs=(
        Tab("staff", "Staff", lambda user: Q(is_staff=True)),
        Tab("suspended", "Suspended", lambda user: Q(suspended_at__isnull=False)),
        Tab("services", "Services", lambda user: Q(is_service=True)),
    ),
    search=find_user,
    search_hint="Name or e-mail",
    order="username",
)
