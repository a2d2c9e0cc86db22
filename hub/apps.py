"""The hub's shared plumbing as a Django app: periodic runs, idempotency rows, health checks, commands."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "hub"
    label = "hub"
    verbose_name = "Hub"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import cleanup, health, own_figures, telemetry
        from .backups import reports

        health.register_own_checks()
        own_figures.register()
        cleanup.register()
        reports.register()
        telemetry.start()
