"""Where a person is logged in: browsers by session, programs by signed tokens; seen and ended one by one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from allauth.usersessions.models import UserSession
from django.db import transaction

from hub.exceptions import NotFound

from . import audit, jwt
from .actors import Actor
from .models import TokenFamily, User
from .permissions import can, require
from .quotas import lock_owner

BROWSER, PROGRAM = "browser", "program"
_BROWSERS: Final = (
    ("Edge", r"Edg(?:e|A|iOS)?/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"(?:Headless)?(?:Chrome|Chromium|CriOS)/(\d+)"),
    ("Safari", r"Version/(\d+)[\d.]* (?:Mobile/\S+ )?Safari/"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac", "Macintosh"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Login:
    """One place where somebody is logged in. The key names it to `end`; it opens nothing."""

    kind: str
    key: str
    device: str
    ip: str
    since: datetime
    seen: datetime
    is_current: bool = False


def logins_of(user: User, *, current: str = "") -> list[Login]:
    """All logins of this user that still work, the present one first, then by when they were last used."""
    browsers = [
        Login(
            BROWSER,
            str(row.pk),
            device_of(row.user_agent),
            row.ip,
            row.created_at,
            row.last_seen_at,
            bool(current) and row.session_key == current,
        )
        for row in UserSession.objects.purge_and_list(user)
    ]
    programs = [
        Login(PROGRAM, str(row.pk), device_of(row.user_agent), row.ip or "", row.created_at, row.last_used_at)
        for row in TokenFamily.objects.live().filter(user=user)
    ]
    return sorted(browsers + programs, key=lambda each: (each.is_current, each.seen), reverse=True)


def kind_of(key: str) -> str:
    """Whether a key is a browser's, a number, or a program's, a UUID."""
    return BROWSER if key.isdecimal() else PROGRAM


def end_login(user: User, kind: str, key: str, *, actor: Actor) -> None:
    """Log a person out of one place: himself, or by who may reset his password. Raises `NotFound`."""
    _require_over(user, actor)
    with transaction.atomic():
        if kind == BROWSER and key.isdecimal():
            session = UserSession.objects.filter(user=user, pk=int(key)).first()
            if session is not None:
                _end_session(session, actor=actor)
                return
        elif kind == PROGRAM and re.fullmatch(r"[0-9a-f-]{32,36}", key):
            family = TokenFamily.objects.live().filter(user=user, pk=key).first()
            if family is not None:
                jwt.revoke(family, reason="ended", actor=actor)
                return
    raise NotFound("This login has ended already.")


def end_session(session: UserSession, *, actor: Actor) -> None:
    """Log a person out of one browser."""
    _require_over(session.user, actor)
    with transaction.atomic():
        _end_session(session, actor=actor)


def end_all(user: User, *, actor: Actor, but: str = "") -> int:
    """Log a person out everywhere, except from the session with the key `but`; answers how many logins ended.

    Without an exception the signed tokens are void at once whatever their rows say.
    """
    _require_over(user, actor)
    with transaction.atomic():
        locked = lock_owner(user)
        rows = list(UserSession.objects.filter(user=locked).exclude(session_key=but or None))
        for row in rows:
            row.end()
        programs = TokenFamily.objects.live().filter(user=locked).count()
        jwt.revoke_all(locked)
        if not but:
            locked.token_version += 1
            locked.save(update_fields=["token_version"])
        audit.record(actor, "user.logged_out_everywhere", locked, browsers=len(rows), programs=programs)
    return len(rows) + programs


def device_of(user_agent: str) -> str:
    """What a person calls it: `Firefox 128 on Linux`; programs by the first word of what they say they are."""
    for browser, pattern in _BROWSERS:
        if found := re.search(pattern, user_agent):
            system = next((name for name, mark in _SYSTEMS if mark in user_agent), "")
            return f"{browser} {found[1]}{f' on {system}' if system else ''}"
    first = user_agent.split(" ", 1)[0][:60]
    return first or "unknown"


def _require_over(user: User, actor: Actor) -> None:
    """Everybody ends his own logins; others' are for who may reset their password. A token's scopes count."""
    if isinstance(actor, User) and actor.pk == user.pk and can(actor, "users.change", user):
        return
    require(actor, "users.reset", user)


def _end_session(session: UserSession, *, actor: Actor) -> None:
    audit.record(actor, "user.session_ended", session.user, ip=session.ip)
    session.end()
