"""What allauth asks us: who may register and as what, and from which address a request comes."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from hub import context

from . import invites, lockout, services
from .models import User

PER_ADDRESS = "10/m/ip"  # wrong passwords, whoever's they were
ADDRESS_SECONDS = 60


class AccountAdapter(DefaultAccountAdapter):
    """The hub's answers to allauth."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        if settings.HUB_REGISTRATION == "invited":
            return invites.find(_invite_of(request)) is not None
        return bool(settings.HUB_REGISTRATION == "open")

    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Store a person who registered: he becomes a Player, or what his invitation says."""
        invite = _invite_of(request)
        is_invited = settings.HUB_REGISTRATION == "invited" or invites.find(invite) is not None
        with transaction.atomic():
            saved: User = super().save_user(request, user, form, commit=commit)
            if commit and is_invited:
                services.welcome_user(saved, role=invites.use(invite, saved))
            elif commit:
                services.welcome_user(saved)
        return saved

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt, by account and by address, before the password is looked at."""
        self.attempt_name = lockout.who(str(credentials.get("email") or credentials.get("username") or ""))
        self._login_failed_rl_usage = ratelimit.consume(
            request, app="allauth.account", action="login_failed", config={"login_failed": PER_ADDRESS}
        )
        try:
            if not self._login_failed_rl_usage:
                raise lockout.LockedOut(ADDRESS_SECONDS)
            self.attempt_number = lockout.begin(self.attempt_name)
        except lockout.LockedOut as refusal:
            self.refusal = refusal  # for the API, which says more
            raise ValidationError(refusal.message, code="too_many_login_attempts") from None

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        user = super().authenticate(request, **credentials)
        if user is not None:
            lockout.succeeded(self.attempt_name)
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        lockout.failed(self.attempt_name, self.attempt_number)

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that rate limits count: what the request context worked out behind trusted proxies."""
        return context.current().ip or super().get_client_ip(request)


def _invite_of(request: HttpRequest) -> str:
    """The secret of the invitation that this browser or API call came with."""
    return str(getattr(request, "invite", "") or request.session.get(invites.SESSION_KEY, ""))
