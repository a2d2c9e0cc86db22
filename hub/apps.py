"""The hub's shared plumbing as a Django app: periodic slots, idempotency rows, commands."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    name = "hub"
    label = "hub"
    verbose_name = "Hub"
    default_auto_field = "django.db.models.BigAutoField"
