"""What an owner uses now, in one query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connection

from accounts.roles import QuotaLimits

if TYPE_CHECKING:
    from accounts.models import User


@dataclass(frozen=True)
class Usage:
    """Totals of live servers, running or not, and what was created within the last hour, deleted since or not."""

    totals: QuotaLimits
    created_lately: int
    first_lately: datetime | None
    has_name: bool = False


def lock_owner(owner: User) -> None:
    """Let one transaction at a time count what the owner has; as `accounts.quotas.lock_owner`, fetching nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM accounts_user WHERE id = %s FOR NO KEY UPDATE", [owner.pk])


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


def of_owner(owner: User, *, name: str = "") -> Usage:
    """Count; exact when the owner is locked. Written out: composing this statement would cost more than running it."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"owner": owner.pk, "name": name})
        servers, memory_mb, cpu_percent, disk_mb, lately, first_lately, same_name = cursor.fetchone()
    totals = QuotaLimits(servers=servers, memory_mb=memory_mb, cpu_percent=cpu_percent, disk_mb=disk_mb)
    return Usage(totals, lately, first_lately, bool(same_name))


def add(one: QuotaLimits, other: QuotaLimits) -> QuotaLimits:
    """The sum of two usages."""
    return QuotaLimits(
        **{field.name: (getattr(one, field.name) or 0) + (getattr(other, field.name) or 0) for field in fields(one)}
    )
