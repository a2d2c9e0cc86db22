"""How much one owner may use: his own limits, else those of his role. The app that owns the things counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from django.db import connection

from hub.exceptions import LimitReached

from . import roles
from .roles import QuotaLimits

if TYPE_CHECKING:
    from .models import User

FIELDS = tuple(field.name for field in fields(QuotaLimits))
# Written out, because every creation asks; LOCK lets one transaction at a time count what the owner has.
LOCK = "SELECT FROM accounts_user WHERE id = %(owner)s FOR NO KEY UPDATE"
OWN = "SELECT servers, memory_mb, cpu_percent, disk_mb FROM accounts_quota WHERE user_id = %(owner)s"
_UNITS = {"servers": "", "memory_mb": " MB of memory", "cpu_percent": " % of CPU", "disk_mb": " MB of disk"}


def quota_for(user: User) -> QuotaLimits:
    """The limits that hold for this user now (one query, besides that for the role)."""
    if user.role == roles.ADMIN:
        return roles.UNLIMITED
    with connection.cursor() as cursor:
        cursor.execute(OWN, {"owner": user.pk})
        return of_row(user.role, cursor.fetchone())


def of_row(role: str, own: Sequence[int | None] | None) -> QuotaLimits:
    """The limits that hold, given what `OWN` has found."""
    return limits_of(role, dict(zip(FIELDS, own, strict=True)) if own else {})


def limits_of(role: str, own: Mapping[str, int | None]) -> QuotaLimits:
    """The limits of a role, replaced by a user's own where he has some."""
    if role == roles.ADMIN:
        return roles.UNLIMITED
    given = asdict(roles.QUOTA_DEFAULTS.get(role, roles.NOTHING))
    return QuotaLimits(**{name: given[name] if own.get(name) is None else own[name] for name in FIELDS})


def lock_owner(user: User) -> User:
    """Lock the user's row, so that what he uses is counted by one transaction at a time.

    Must be the first statement of the transaction: locks are taken in the order user, team, node, address.
    """
    return user.__class__._base_manager.select_for_update(no_key=True).get(pk=user.pk)


def check_quota(limits: QuotaLimits, used: QuotaLimits, asked: QuotaLimits) -> None:
    """Raise `LimitReached` with the field at fault and what is left, unless `used` and `asked` fit together."""
    for name in FIELDS:
        limit, more = getattr(limits, name), getattr(asked, name) or 0
        if limit is None or not more:
            continue
        left = max(0, limit - (getattr(used, name) or 0))
        if more > left:
            raise LimitReached(_sentence(name, limit, left, more), code="quota_exceeded", field=name)


def remaining(limits: QuotaLimits, used: QuotaLimits) -> QuotaLimits:
    """What is left of each limit; None is unlimited."""
    return QuotaLimits(
        **{
            name: None if (limit := getattr(limits, name)) is None else max(0, limit - (getattr(used, name) or 0))
            for name in FIELDS
        }
    )


def _sentence(name: str, limit: int, left: int, asked: int) -> str:
    if name == "servers":
        return f"Your quota is {limit} servers and {left} of them are left."
    return f"This needs {asked}{_UNITS[name]}; {left} of your {limit} are left."
