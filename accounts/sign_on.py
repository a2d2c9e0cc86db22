"""Single sign-on by OpenID Connect (`HUB_OIDC_URL`): the provider says who somebody is, and by his groups which role.

Groups decide at every login, so who leaves a group loses the role with his next login; without a table of groups
(`HUB_OIDC_ROLES`) new people get the default role and an Admin changes it as he likes. An account that exists already
is taken when both sides have confirmed the same e-mail address.
"""

from __future__ import annotations

import logging
from typing import Any

import requests
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import render

from hub.exceptions import HubError, Unavailable

from . import audit, roles, services
from .actors import System
from .models import User

logger = logging.getLogger(__name__)

PROVIDER = System("sign-on")
TIMEOUT_SECONDS = 5


class ProviderSession(requests.Session):
    """Asks the provider; that it does not answer is a state of ours that pages can show."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            return super().request(*args, **{"timeout": TIMEOUT_SECONDS, **kwargs})
        except requests.RequestException as error:
            logger.warning("the sign-on provider does not answer: %s", error)
            words = f"{settings.HUB_OIDC['name']} does not answer. Log in with your password, or try again later."
            raise Unavailable(words[:1].upper() + words[1:]) from None


class SignOnAdapter(DefaultSocialAccountAdapter):
    """The hub's answers to allauth about people whom a provider sends."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whoever the provider lets in, whatever `HUB_REGISTRATION` says: it is the house's own list of people."""
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Turn away who has no role here, and bring the role of who has an account up to date."""
        role = role_of(groups_of(sociallogin))
        if role == "":
            audit.record(None, "user.sign_on_refused", None, subject=sociallogin.account.uid)
            raise ImmediateHttpResponse(render(request, "socialaccount/no_role.html", status=403))
        if role is not None and sociallogin.is_existing:
            follow_groups(sociallogin.user, role)

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        with transaction.atomic():
            user: User = super().save_user(request, sociallogin, form)
            services.welcome_user(user, role=role_of(groups_of(sociallogin)) or default_role())
        return user

    def authenticate_by_email(self, sociallogin: Any) -> tuple[User, str] | None:
        """The account with the same address, if its owner has confirmed it: else a squatter's tokens would live on."""
        found: tuple[User, str] | None = super().authenticate_by_email(sociallogin)
        if not found or not EmailAddress.objects.filter(user=found[0], email__iexact=found[1], verified=True).exists():
            return None
        return found

    def get_requests_session(self) -> requests.Session:
        return ProviderSession()

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """Say in the log why a login by the provider failed; the page says only that it did."""
        logger.warning("sign-on by %s failed: %s", getattr(provider, "id", provider), error or exception)


def groups_of(sociallogin: Any) -> list[str]:
    """The groups that the provider names, in the user's facts or in the id token."""
    data, claim = sociallogin.account.extra_data, settings.HUB_OIDC["groups_claim"]
    for facts in (data.get("userinfo"), data.get("id_token"), data):
        if isinstance(facts, dict) and claim in facts:
            found = facts[claim]
            return [str(each) for each in found] if isinstance(found, list) else str(found).split()
    return []


def role_of(groups: list[str]) -> str | None:
    """The strongest role of these groups; "" when they have none here, None when groups decide nothing."""
    table: dict[str, str] = settings.HUB_OIDC["roles"]
    if not table:
        return None
    return roles.strongest(frozenset(table[group] for group in groups if group in table)) or settings.HUB_OIDC["role"]


def default_role() -> str:
    return settings.HUB_OIDC["role"] or roles.PLAYER


def follow_groups(user: User, role: str) -> None:
    """Give the role of the groups; the last Admin stays one, or nobody could mend a table that is wrong."""
    try:
        services.set_role(user, role, actor=PROVIDER)
    except HubError as error:
        logger.warning("the role of %s does not follow its groups: %s", user, error)
