"""Log lines of devices: stored in batches, each batch once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from ..models import DeviceBeat, DeviceLog

MOST_LINES: Final = 500
MOST_AHEAD: Final = timedelta(minutes=10)
MOST_BEHIND: Final = timedelta(days=30)


def store_lines(device_id: UUID, lines: Sequence[dict[str, Any]], *, sequence: int | None = None) -> tuple[int, int]:
    """Store a batch; answers how many lines, none when a batch of this number or a later one is there, and the number
    of the last batch: a device that has lost its count, such as by a new installation, goes on above it.

    The number moves in the same transaction. A time that cannot be right is replaced by ours.
    """
    now = timezone.now()
    rows = [DeviceLog(device_id=device_id, **{**line, "at": _believable(line.get("at"), now)}) for line in lines]
    with transaction.atomic():
        if sequence is not None:
            beat = DeviceBeat.objects.filter(device=device_id, log_sequence__lt=sequence)
            if not beat.update(log_sequence=sequence):
                rows = []
        DeviceLog.objects.bulk_create(rows)
        last = DeviceBeat.objects.values_list("log_sequence", flat=True).get(device=device_id)
    return len(rows), last


def _believable(at: datetime | None, now: datetime) -> datetime:
    return at if at is not None and now - MOST_BEHIND <= at <= now + MOST_AHEAD else now
