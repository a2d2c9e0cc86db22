"""Roles that must have a second factor (`HUB_MFA_ROLES`): until one is set up, only its pages open."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.conf import settings

from .models import User

OPEN_PATHS = ("/accounts/", "/static/")  # where a factor is set up, addresses are confirmed, and the way out


def is_missing(user: User) -> bool:
    """Whether this person's role asks for a second factor that he does not have; asks the database only then."""
    if not settings.HUB_MFA_ROLES or user.role not in settings.HUB_MFA_ROLES:
        return False
    return not Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).exists()
