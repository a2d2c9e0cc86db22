"""Sessions of people in browsers."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.db import transaction

from . import audit
from .actors import Actor
from .permissions import require


def end_session(session: UserSession, *, actor: Actor) -> None:
    """Log a person out of one browser."""
    require(actor, "users.reset", session.user)
    with transaction.atomic():
        audit.record(actor, "user.session_ended", session.user, ip=session.ip)
        session.end()
