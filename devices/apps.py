"""The devices app."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class DevicesConfig(AppConfig):
    """Edge devices: identity, heartbeat, logs, bundles, deployments and configuration."""

    name = "devices"
    verbose_name = "Devices"

    def ready(self) -> None:
        from accounts.permissions import can
        from hub import hardening
        from monitoring import subjects

        from . import alerts, figures, keeping, limits, measured, offers
        from .configuration import commands as configuration
        from .deployments import commands as deployments
        from .manual import commands as manual

        offers.register(configuration.SOURCE)
        offers.register(deployments.SOURCE)
        offers.register(manual.SOURCE)
        subjects.register("device", measured.find_devices)
        figures.register()
        alerts.register()
        limits.register()
        keeping.register()
        hardening.take_large(
            r"/api/v1/bundles",
            lambda: (settings.HUB_BUNDLE_MAX_MB + 1) * 2**20,  # with what a form has around a file
            lambda user: can(user, "bundles.change"),
        )
