"""People, roles, tokens, quotas and the audit trail."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        from hub import health

        from . import audit_shipping, grants, keeping, signals

        health.register("audit-shipping", audit_shipping.check_shipping)
        grants.register_own()
        signals.connect()
        keeping.register()
        post_migrate.connect(_sync_roles, sender=self)


def _sync_roles(**kwargs: Any) -> None:
    from .roles import sync_roles

    sync_roles(using=kwargs["using"])
