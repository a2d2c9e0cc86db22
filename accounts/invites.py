"""Invitations: a link that lets one person register while registration is not open to all."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from hub.exceptions import Conflict, Invalid

from . import audit, roles
from .actors import Actor
from .models import Invite, User
from .permissions import require

SESSION_KEY = "invite"
LONGEST_DAYS = 30


def create_invite(*, actor: Actor, role: str = roles.PLAYER, note: str = "", days: int = 7) -> tuple[Invite, str]:
    """Make an invitation; answers the row and its link, which cannot be had again."""
    require(actor, "users.create")
    if role != roles.PLAYER:
        require(actor, "roles.change")
    if role not in roles.ROLES:
        raise Invalid(f"A role is one of {', '.join(roles.ROLES)}.", field="role")
    if not 1 <= days <= LONGEST_DAYS:
        raise Invalid(f"An invitation is good for 1 to {LONGEST_DAYS} days.", field="days")
    secret = secrets.token_urlsafe(24)
    with transaction.atomic():
        invite = Invite.objects.create(
            digest=_digest(secret),
            role=role,
            note=note,
            created_by=actor if isinstance(actor, User) else None,
            expires_at=timezone.now() + timedelta(days=days),
        )
        audit.record(actor, "invite.created", invite, role=role, expires_at=invite.expires_at.isoformat())
    return invite, f"{settings.HUB_URL}/invite/{secret}"


def revoke_invite(invite: Invite, *, actor: Actor) -> None:
    """Take back an invitation that nobody used."""
    require(actor, "users.create")
    with transaction.atomic():
        if not Invite.objects.filter(pk=invite.pk, used_at=None).exists():
            raise Conflict("This invitation was used already.")
        audit.record(actor, "invite.revoked", invite, role=invite.role)
        invite.delete()


@sensitive_variables("secret")
def find(secret: str) -> Invite | None:
    """The invitation that this secret opens and that nobody used yet."""
    return Invite.objects.filter(digest=_digest(secret), used_at=None, expires_at__gt=timezone.now()).first()


@sensitive_variables("secret")
def use(secret: str, user: User) -> str:
    """Use up an invitation for a person who registers; answers his role. Of two at once one is refused."""
    invite = find(secret)
    won = invite and Invite.objects.filter(pk=invite.pk, used_at=None).update(used_at=timezone.now(), used_by=user)
    if not invite or not won:
        raise Conflict("This invitation was used meanwhile.")
    return invite.role


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
