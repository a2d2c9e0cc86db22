"""What people do with errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.permissions import require

from .models import ErrorGroup

if TYPE_CHECKING:
    from accounts.actors import Asker


def resolve_error(group: ErrorGroup, *, actor: Asker) -> None:
    """Say that an error is dealt with; it is open again when it comes about again."""
    require(actor, "errors.change", group)
    with transaction.atomic():
        who = actor if getattr(actor, "pk", None) else None
        if ErrorGroup.objects.filter(pk=group.pk, resolved_at=None).update(resolved_at=timezone.now(), resolved_by=who):
            audit.record(actor, "error.resolved", group)
    group.refresh_from_db()
