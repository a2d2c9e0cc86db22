"""For how long log lines of devices are kept, and assertions that were used."""

from __future__ import annotations

from django.conf import settings

from hub import retention

from . import sessions
from .models import DeviceLog

BATCH = 5_000


def forget_past() -> int:
    """Delete log lines whose time is over, in batches, and assertions that would be refused for their age anyway."""
    gone = sessions.forget_spent()
    over = DeviceLog.objects.filter(received_at__lt=retention.days_ago(settings.HUB_DEVICE_LOG_DAYS)).order_by()
    while keys := list(over.values_list("pk", flat=True)[:BATCH]):
        gone += DeviceLog.objects.filter(pk__in=keys).delete()[0]
    return gone
