"""What allauth asks us: who may register, and from which address a request comes."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest

from hub import context


class AccountAdapter(DefaultAccountAdapter):
    """The hub's answers to allauth."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return settings.HUB_REGISTRATION == "open"

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that rate limits count: the one the request context worked out behind trusted proxies."""
        return context.current().ip or super().get_client_ip(request)
