"""The devices app."""

from __future__ import annotations

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    """Edge devices: identity, heartbeat, logs, bundles, deployments and configuration."""

    name = "devices"
    verbose_name = "Devices"

    def ready(self) -> None:
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
