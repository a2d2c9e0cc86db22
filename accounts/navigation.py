"""Places, panel and search of accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from hub.pages import overview, palette
from hub.pages.navigation import Place, register
from hub.pages.overview import Contribution, Panel
from hub.statements import statement

from .lists import find_token
from .models import ApiToken, AuditEntry, User
from .permissions import can, manages_people

LATEST = 8


def _anybody(user: Any) -> bool:
    return True


def _sees_settings(user: Any) -> bool:
    return can(user, "settings.view")


register(
    Place("Administration", "Users", "accounts:user_list", "user", manages_people, position=10),
    Place("Administration", "Audit", "accounts:audit_list", "shield", lambda u: can(u, "audit.view"), position=20),
    Place("Administration", "Requests", "accounts:request_list", "list", _sees_settings, position=30),
)


def _overview(request: HttpRequest) -> Contribution:
    """The newest entries of the audit trail, for those who may read it."""
    user: Any = request.user
    latest = statement(("latest audit entries", user.reach), lambda: _latest(user)).rows()
    rows = [
        {"who": who or "somebody", "action": action, "target": target, "at": at} for who, action, target, at in latest
    ]
    return Contribution(panels=[Panel("accounts/partials/activity_panel.html", {"rows": rows})] if rows else [])


def _latest(user: Any) -> Any:
    return AuditEntry.objects.visible_to(user).values_list("actor_name", "action", "target_name", "at")[:LATEST]


def _find_tokens(user: Any, text: str) -> Iterable[palette.Hit]:
    """One's own, by name or by how they begin."""
    if not can(user, "tokens.own"):
        return
    for token in find_token(ApiToken.objects.filter(user=user.pk), text)[: palette.PER_GROUP]:
        url = f"{reverse('accounts:token_list')}?{urlencode({'q': token.name})}"
        yield palette.Hit(token.name, url, "key", "API token")


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    if not can(user, "users.view_any") or len(text) < 2:
        return
    for found in User.objects.filter(username__icontains=text)[: palette.PER_GROUP]:
        yield palette.Hit(found.username, reverse("accounts:user_detail", args=[found.pk]), "user", "User")


overview.contribute(90, _overview)
palette.register(_find)
palette.offer(
    palette.Way("Profile", "accounts:profile", "user", _anybody, words="name time zone theme region quota", note="You"),
    palette.Way("Sessions", "accounts:session_list", "desktop", _anybody, words="logins browsers log out", note="You"),
    palette.Way("API tokens", "accounts:token_list", "key", lambda user: can(user, "tokens.own"), note="You"),
    palette.Way("Password", "account_change_password", "lock", _anybody, words="change new", note="You"),
    palette.Way("Second factor", "mfa_index", "shield", _anybody, words="passkeys app recovery codes totp", note="You"),
    palette.Way("E-mail", "account_email", "inbox", _anybody, words="address", note="You"),
    palette.Way("Notifications", "notifications", "bell", _anybody, words="attention needs", note="You"),
    palette.Way("API documentation", "api:docs", "file", _anybody, words="docs schema openapi swagger", note="Page"),
    palette.Way(
        "Django admin", "admin:index", "sliders", lambda user: user.is_staff, words="site", note="Administration"
    ),
    palette.Way(
        "Invitations",
        "accounts:invite_list",
        "inbox",
        lambda user: can(user, "users.create"),
        words="invite link new user",
        note="Administration",
    ),
    palette.Way(
        "Add a user",
        "accounts:user_create",
        "plus",
        lambda user: can(user, "users.create"),
        words="new create person account service program",
        is_action=True,
    ),
    palette.Way(
        "Log out", "account_logout", "logout", _anybody, words="sign off end", note="asks first", is_action=True
    ),
)
palette.register(_find_tokens, is_late=True)
