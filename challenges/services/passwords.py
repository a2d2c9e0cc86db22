"""New passwords for the players of an event, by its administrator."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.models import AuditEntry, User
from accounts.permissions import require
from accounts.services import reset_players_password
from challenges.choices import EventStatus
from challenges.models import Event
from hub.exceptions import Conflict, NotFound, TooMany

from .events import lock_event

RESETS, RESETS_WITHIN = 10, timedelta(hours=1)
RESETTABLE = frozenset({EventStatus.APPROVED, EventStatus.SCHEDULED, EventStatus.RUNNING, EventStatus.PAUSED})


def find_player(event: Event, username: str) -> User:
    """Somebody of a team that takes part in the event; whoever does not is not there."""
    teams = event.participations.order_by().values("team")
    found = User.objects.filter(username=username, team_memberships__team__in=teams).first()
    if found is None:
        raise NotFound("Nobody of this name plays in the event.", field="username")
    return found


@sensitive_variables("password")
def reset_player(event: Event, username: str, password: str, *, actor: Any) -> User:
    """Give a player a new password until the event is over. The event's row is locked, so the limit is exact."""
    require(actor, "events.reset", event)
    with transaction.atomic():
        locked = lock_event(event)
        if locked.state not in RESETTABLE:
            raise Conflict("Passwords are reset here until the event is over.", code="event_over")
        recent = AuditEntry.objects.filter(
            action="user.password_reset",
            actor_id=str(actor.pk),
            data__event=locked.slug,
            at__gt=timezone.now() - RESETS_WITHIN,
        )
        if recent.count() >= RESETS:
            raise TooMany(
                "Ten passwords an hour are enough. Ask an Admin.",
                code="too_many_resets",
                retry_after=int(RESETS_WITHIN.total_seconds()),
            )
        player = find_player(locked, username)
        return reset_players_password(player, password, actor=actor, event=locked.slug)
