"""Five wrong passwords close an account's login for fifteen minutes, through whichever door they came.

Counted in Redis before the password is looked at, so that of any number of attempts at once five reach it. A name that
nobody has is counted like one that somebody has, and an account's name and address count together.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.core.cache import cache

from hub import security
from hub.exceptions import TooMany

from . import audit
from .actors import Actor
from .models import User
from .permissions import require

FAILURES = 5
SECONDS = 15 * 60
MESSAGE = "Too many failed login attempts. Try again in 15 minutes."


class LockedOut(TooMany):
    """Too many wrong passwords for this name."""

    code = "locked_out"


def who(login: str) -> str:
    """Under which name attempts are counted: the account's, or a digest of what nobody is called."""
    user = User.objects.named(login)
    return str(user.pk) if user else hashlib.sha256(login.casefold().encode()).hexdigest()


def begin(name: str) -> int:
    """Count an attempt; answers how many that makes. Raises `LockedOut` beyond the limit."""
    key = _key(name)
    cache.add(key, 0, SECONDS)
    number = _add(key, 1)
    if number > FAILURES:
        raise LockedOut(MESSAGE, retry_after=SECONDS)
    return number


def succeeded(name: str) -> None:
    """Take one attempt back: the password was right. Others stay counted, or guessing could hide between logins."""
    _add(_key(name), -1)


def failed(name: str, number: int) -> None:
    """The attempt was wrong; at the limit the fifteen minutes begin anew, and the lock is audited once."""
    if number == FAILURES:
        cache.touch(_key(name), SECONDS)
        user = User.objects.filter(pk=name).first() if name.isdecimal() else None
        audit.record(None, "login.locked", user, minutes=SECONDS // 60)
        security.note("login_locked")


def is_locked(user: User) -> bool:
    return (cache.get(_key(str(user.pk))) or 0) >= FAILURES


def unlock(user: User, *, actor: Actor) -> None:
    """Let a locked-out person try again."""
    require(actor, "users.reset", user)
    cache.delete(_key(str(user.pk)))
    audit.record(actor, "login.unlocked", user)


def forget(user: User) -> None:
    """Begin anew: whoever has just set a password is not guessing."""
    cache.delete(_key(str(user.pk)))


def _key(name: str) -> str:
    return f"lockout:{name}"


def _add(key: str, delta: int) -> int:
    try:
        number: Any = cache.incr(key, delta)
    except ValueError:  # it expired in between
        return max(0, delta)
    return int(number)
