"""Moments that were noted by a clock that has been set back since.

A deadline that lies further ahead than any can is one of those. Left alone, a clock that was an hour fast would hold
every lease, wait and check for an hour after it was put right.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

FARTHEST_LEASE_SECONDS = 120
FARTHEST_CHECK_SECONDS = 600


def is_over(deadline: datetime, *, farthest_seconds: float) -> bool:
    """Whether a deadline has passed, or was noted by a clock that was ahead; `farthest_seconds` is the longest wait."""
    left = (deadline - timezone.now()).total_seconds()
    return left <= 0 or left > farthest_seconds


def over(field: str, *, farthest_seconds: float) -> Q:
    """The same as a filter, by the database's clock."""
    far = Now() + timedelta(seconds=farthest_seconds)
    return Q(**{f"{field}__lte": Now()}) | Q(**{f"{field}__gt": far})


def free_lease() -> Q:
    """Rows whose lease nobody holds."""
    return Q(lease_until__isnull=True) | over("lease_until", farthest_seconds=FARTHEST_LEASE_SECONDS)
