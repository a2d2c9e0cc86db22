"""Five wrong passwords close an account's login for fifteen minutes, through whichever door they came.

Each further lock is twice as long as the one before, up to a day, until a day has passed without one.

Counted in Redis before the password is looked at, so that of any number of attempts at once five reach it. A name that
nobody has is counted like one that somebody has, and an account's name and address count together.
"""

from __future__ import annotations

import hashlib
import math
import time
from typing import Any

from django.core.cache import cache

from hub import security
from hub.exceptions import TooMany

from . import audit
from .actors import Actor
from .models import User
from .permissions import require

FAILURES = 5
SECONDS = 15 * 60  # of the first lock, and how long attempts are counted before one
CODE = "code:"  # before the names under which codes are counted
DAY = 24 * 60 * 60  # of the longest lock, and how long one is remembered after its end


class LockedOut(TooMany):
    """Too many wrong passwords for this name, or from this address."""

    code = "locked_out"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many failed login attempts. Try again in {in_words(seconds)}.", retry_after=seconds)


def lock_seconds(number: int) -> int:
    """How long the first, second, third lock is."""
    return int(min(SECONDS * 2 ** (number - 1), DAY))


def in_words(seconds: int) -> str:
    minutes = math.ceil(seconds / 60)
    number, unit = (minutes, "minute") if minutes < 120 else (math.ceil(minutes / 60), "hour")
    return f"{number} {unit}{'' if number == 1 else 's'}"


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
        raise LockedOut(_seconds_left(name))
    return number


def succeeded(name: str) -> None:
    """Take one attempt back: the password was right. Others stay counted, or guessing could hide between logins."""
    _add(_key(name), -1)


def failed(name: str, number: int) -> None:
    """The attempt was wrong; the one that reaches the limit locks, which is audited once."""
    if number == FAILURES:
        seconds = _lock(name)
        pk = name.removeprefix(CODE)
        user = User.objects.filter(pk=pk).first() if pk.isdecimal() else None
        audit.record(None, "login.locked", user, minutes=seconds // 60)
        security.note("login_locked")


def seconds_locked(user: User) -> int:
    """How long this person cannot log in yet, by password or by code; 0 who can."""
    locked = [name for name in _names(user) if (cache.get(_key(name)) or 0) >= FAILURES]
    return max(map(_seconds_left, locked), default=0)


def is_locked(user: User) -> bool:
    return seconds_locked(user) > 0


def unlock(user: User, *, actor: Actor) -> None:
    """Let a locked-out person try again, as if he had never been locked out."""
    require(actor, "users.reset", user)
    for name in _names(user):
        _forget(name)
    audit.record(actor, "login.unlocked", user)


def forget(user: User) -> None:
    """Begin anew: whoever has just set a password is not guessing it. Codes are another thing to guess."""
    _forget(str(user.pk))


def _lock(name: str) -> int:
    """Close for so many seconds. Only the attempt that made the limit comes here, so each lock counts once."""
    locks = _locks_key(name)
    cache.add(locks, 0, DAY)
    seconds = lock_seconds(_add(locks, 1))
    cache.touch(locks, seconds + DAY)
    cache.set(_end_key(name), time.time() + seconds, seconds)
    if not cache.touch(_key(name), seconds):  # it expired while the password was looked at
        cache.set(_key(name), FAILURES, seconds)
    return seconds


def _seconds_left(name: str) -> int:
    """Until the lock opens; while the password of the last attempt is looked at nobody knows yet."""
    end = cache.get(_end_key(name))
    return max(1, math.ceil(end - time.time())) if end else SECONDS


def _names(user: User) -> tuple[str, str]:
    """Under which names a person's attempts are counted: passwords, and codes of the second factor."""
    return str(user.pk), f"{CODE}{user.pk}"


def _forget(name: str) -> None:
    cache.delete_many([_key(name), _locks_key(name), _end_key(name)])


def _key(name: str) -> str:
    return f"lockout:{name}"


def _locks_key(name: str) -> str:
    return f"lockout:locks:{name}"


def _end_key(name: str) -> str:
    return f"lockout:end:{name}"


def _add(key: str, delta: int) -> int:
    try:
        number: Any = cache.incr(key, delta)
    except ValueError:  # it expired in between
        return max(0, delta)
    return int(number)
