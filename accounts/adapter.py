"""What allauth asks us: who may register and as what, and from which address a request comes."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from hub import context

from . import services
from .models import User


class AccountAdapter(DefaultAccountAdapter):
    """The hub's answers to allauth."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.HUB_REGISTRATION == "open")

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Store a person who registered: he becomes a Player."""
        with transaction.atomic():
            saved: User = super().save_user(request, user, form, commit=commit)
            if commit:
                services.welcome_user(saved)
        return saved

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that rate limits count: what the request context worked out behind trusted proxies."""
        return context.current().ip or super().get_client_ip(request)
