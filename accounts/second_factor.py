"""Roles that must have a second factor (`HUB_MFA_ROLES`): until one is set up, only its pages open. And taking one
away from who has lost it.
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from hub.exceptions import Conflict

from . import audit
from .actors import Actor
from .models import User
from .permissions import require
from .quotas import lock_owner

OPEN_PATHS = ("/accounts/", "/static/")  # where a factor is set up, addresses are confirmed, and the way out


def is_missing(user: User) -> bool:
    """Whether this person's role asks for a second factor that he does not have; asks the database only then."""
    if not settings.HUB_MFA_ROLES or user.role not in settings.HUB_MFA_ROLES:
        return False
    return not Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).exists()


def remove_factors(user: User, *, actor: Actor) -> None:
    """Take away every factor of a person who has lost them, recovery codes included; his signed tokens become void."""
    require(actor, "users.reset", user)
    with transaction.atomic():
        locked = lock_owner(user)
        factors = Authenticator.objects.filter(user=locked)
        kinds = sorted(factors.values_list("type", flat=True))
        if not kinds:
            raise Conflict("This account has no second factor.")
        factors.delete()
        locked.token_version += 1
        locked.save(update_fields=["token_version"])
        audit.record(actor, "user.factors_removed", locked, kinds=kinds)
