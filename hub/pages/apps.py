"""The dashboard's shared pages as a Django app."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class PagesConfig(AppConfig):
    name = "hub.pages"
    label = "pages"
    verbose_name = "Pages"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let every app register its places, panels and searches (`<app>/navigation.py`)."""
        from hub.api.permissions import can

        from .navigation import Place, register

        register(Place("", "Overview", "overview", "overview", lambda user: True, position=0))
        register(Place("Administration", "Jobs", "queue_list", "clock", lambda u: can(u, "jobs.view"), position=30))
        autodiscover_modules("navigation")
