"""What an owner may use and uses now, in one round trip."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connection

from accounts import quotas
from accounts.roles import QuotaLimits

if TYPE_CHECKING:
    from accounts.models import User


@dataclass(frozen=True)
class Usage:
    """Totals of live servers, running or not, the limits for them, and what was created within the last hour, deleted
    since or not.
    """

    totals: QuotaLimits
    limits: QuotaLimits
    created_lately: int
    first_lately: datetime | None
    has_name: bool = False


_COUNT = """
    SELECT
        count(*) FILTER (WHERE is_alive),
        coalesce(sum(memory_mb) FILTER (WHERE is_alive), 0),
        coalesce(sum(cpu_percent) FILTER (WHERE is_alive), 0),
        coalesce(sum(disk_mb) FILTER (WHERE is_alive), 0),
        count(*) FILTER (WHERE is_recent),
        min(created_at) FILTER (WHERE is_recent),
        count(*) FILTER (WHERE is_alive AND lower(name) = lower(%(name)s))
    FROM (
        SELECT name, memory_mb, cpu_percent, disk_mb, created_at,
            observed_status <> 'deleted' AS is_alive, created_at > now() - interval '1 hour' AS is_recent
        FROM servers_gameserver WHERE owner_id = %(owner)s
    ) owned
    WHERE is_alive OR is_recent
"""


def of_owner(owner: User, *, name: str = "", lock: bool = False) -> Usage:
    """Count; exact with `lock`, which must be the first in its transaction, or when the owner is locked already.

    Written out and sent together: composing these statements, or going for each, would cost more than running them.
    """
    statements = [quotas.LOCK, quotas.OWN, _COUNT] if lock else [quotas.OWN, _COUNT]
    with connection.cursor() as cursor:
        cursor.execute(";".join(statements), {"owner": owner.pk, "name": name})
        if lock:
            cursor.nextset()
        limits = quotas.of_row(owner.role, cursor.fetchone())
        cursor.nextset()
        servers, memory_mb, cpu_percent, disk_mb, lately, first_lately, same_name = cursor.fetchone()
    totals = QuotaLimits(servers=servers, memory_mb=memory_mb, cpu_percent=cpu_percent, disk_mb=disk_mb)
    return Usage(totals, limits, lately, first_lately, bool(same_name))


def add(one: QuotaLimits, other: QuotaLimits) -> QuotaLimits:
    """The sum of two usages."""
    return QuotaLimits(
        **{field.name: (getattr(one, field.name) or 0) + (getattr(other, field.name) or 0) for field in fields(one)}
    )
