"""What the hub knows about a person, for himself, and the end of his account."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from hub.exceptions import Conflict, NotAllowed

from . import audit, roles
from .actors import Actor
from .models import AuditEntry, User
from .permissions import require

ENTRIES = 10_000  # of the audit trail, newest first


def export_data(user: User, *, actor: Actor) -> dict[str, Any]:
    """Everything about this person that the accounts hold, without secrets."""
    require(actor, "users.change", user)
    profile = ("username", "email", "first_name", "last_name", "region_preference", "timezone", "theme", "date_joined")
    entry = ("at", "action", "target_kind", "target_name", "via", "ip", "data")
    mine = AuditEntry.objects.filter(actor_kind="user", actor_id=str(user.pk)).order_by("-id")[:ENTRIES]
    data = {
        "exported_at": timezone.now(),
        "profile": {name: getattr(user, name) for name in profile} | {"role": user.role, "last_login": user.last_login},
        "addresses": list(EmailAddress.objects.filter(user=user).values("email", "verified", "primary")),
        "tokens": list(
            user.auth_token_set.values("name", "scopes", "allowed_networks", "device_groups", "created", "expiry")
        ),
        "logins": list(user.token_families.values("created_at", "last_used_at", "ip", "user_agent")),
        "sessions": list(
            UserSession.objects.filter(user=user).values("created_at", "last_seen_at", "ip", "user_agent")
        ),
        "second_factors": list(Authenticator.objects.filter(user=user).values("type", "created_at", "last_used_at")),
        "activity": list(mine.values(*entry)),
    }
    audit.record(actor, "user.exported", user)
    return data


def delete_account(user: User, *, actor: Actor) -> None:
    """Delete one's own account with all that belongs to it alone; the audit trail keeps the name, as it must.

    Refused while something else is still owned, and to Admins: another Admin takes the role away first.
    """
    if actor is not user and actor != user:
        raise NotAllowed("Only the owner deletes an account.")
    if user.role == roles.ADMIN:
        raise Conflict("An Admin's account is not deleted. Let another Admin change the role first.", code="is_admin")
    try:
        with transaction.atomic():
            locked = User.objects.select_for_update().get(pk=user.pk)
            audit.record(actor, "user.deleted", locked, reason="own wish")
            locked.delete()
    except ProtectedError as error:
        kinds = sorted({str(row._meta.verbose_name_plural) for row in error.protected_objects})
        raise Conflict(f"This account still owns {', '.join(kinds)}. Delete them first.", code="still_owns") from None
