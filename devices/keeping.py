"""For how long bundles, log lines and manual commands of devices are kept, and assertions that were used."""

from __future__ import annotations

from django.conf import settings

from hub import retention

from . import sessions
from .bundles import services as bundles
from .models import DeviceLog, ManualCommand

BATCH = 5_000


def register() -> None:
    """Called once by the app config."""
    retention.register(
        retention.Rule(
            "bundles",
            "Files of bundles",
            lambda: (
                f"kept for {settings.HUB_BUNDLE_DAYS} days; the newest of each name, and what devices run, are to get "
                "or would be sent back to, for longer"
            ),
            bundles.preview_expired,
            bundles.forget_expired,
        )
    )


def forget_past() -> int:
    """Delete lines and commands whose time is over, in batches, and assertions too old to be believed anyway."""
    gone, until = sessions.forget_spent(), retention.days_ago(settings.HUB_DEVICE_LOG_DAYS)
    for over in (
        DeviceLog.objects.filter(received_at__lt=until).order_by(),
        ManualCommand.objects.filter(finished_at__lt=until).order_by(),
    ):
        while keys := list(over.values_list("pk", flat=True)[:BATCH]):
            gone += over.model._default_manager.filter(pk__in=keys).delete()[0]
    return gone
