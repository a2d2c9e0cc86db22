"""Many instances at once: those ticked, all that are superfluous, and all of them in an emergency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from accounts import audit
from accounts.actors import SYSTEM
from accounts.permissions import require, sees_all
from challenges.instances import expiry
from challenges.models import Event, Instance, Participation, ScoreEvent
from hub import bulk
from hub.exceptions import Invalid, NotAllowed
from hub.nodes.choices import DesiredStatus

from . import instances

if TYPE_CHECKING:
    from accounts.actors import Asker
    from challenges.instances.querysets import InstanceQuerySet

BULK: Final[dict[str, Callable[..., Any]]] = {
    "extend": instances.extend_instance,
    "reset": instances.reset_instance,
    "stop": instances.stop_instance,
}
SETTLED_AT_ONCE: Final = 200


def act_on_many(
    ids: Iterable[UUID], verb: str, *, actor: Asker, minutes: int | None = None
) -> list[bulk.Result[Instance]]:
    """Extend, reset or stop those named, with a result for each."""
    require(actor, "instances.control")
    if verb not in BULK:
        raise Invalid(f"Choose {', '.join(BULK)}.", field="verb")
    asked = {"minutes": minutes} if verb == "extend" else {}
    rows = Instance.objects.visible_to(actor).alive().with_details()
    return bulk.for_keys(ids, rows, lambda instance: BULK[verb](instance, actor=actor, **asked))


def kill_phrase(event: Event | None) -> str:
    """What has to be typed before all instances of an event, or of all events, go."""
    return f"kill {event.slug if event else 'everything'}"


def kill_all(event: Event | None, *, actor: Asker, phrase: str) -> list[bulk.Result[Instance]]:
    """End every instance of an event at once and remove it, with a result for each.

    Without an event: of all events and all test copies, for those whose right to events has no bounds.
    """
    require_kill_all(event, actor=actor)
    if phrase.strip() != kill_phrase(event):
        raise Invalid(f"Type “{kill_phrase(event)}”.", field="phrase")
    results = bulk.for_each(killed_with(event), lambda row: _end(row, actor, "kill", f"All were killed by {actor}."))
    failed = sum(not result.is_done for result in results)
    action = "event.instances_killed" if event else "instance.all_killed"
    audit.record(actor, action, event, instances=len(results) - failed, failed=failed)
    return results


def require_kill_all(event: Event | None, *, actor: Asker) -> None:
    """Raise `NotAllowed` unless the actor may kill all of an event, or of all events."""
    require(actor, "events.change", event)
    if event is None and not sees_all(actor, "events.change"):
        raise NotAllowed("Your role ends at regions. Kill all of one event.")


def killed_with(event: Event | None) -> InstanceQuerySet:
    """What goes when all of an event, or of all events with the test copies, are killed."""
    rows = Instance.objects.wanted().order_by("created_at")
    return rows.filter(event=event) if event else rows


def settle_instances() -> int:
    """End what time, solves, bans and failures have made superfluous; says how many. It may come late."""
    solved = ScoreEvent.objects.filter(
        event=OuterRef("event"), team=OuterRef("team"), completes=True, entry__challenge=OuterRef("challenge")
    )
    rows = Instance.objects.wanted().filter(event__stops_on_solve=True).filter(Exists(solved))
    reasons = [(row, "The challenge is solved.") for row in rows[:SETTLED_AT_ONCE]]
    reasons += [(row, "Its time was over.") for row in Instance.objects.past_end()[:SETTLED_AT_ONCE]]
    banned = Participation.objects.filter(event=OuterRef("event"), team=OuterRef("team"), banned_at__isnull=False)
    rows = Instance.objects.wanted().filter(Exists(banned) | Q(event__isnull=False, team__banned_at__isnull=False))
    reasons += [(row, "The team is banned.") for row in rows[:SETTLED_AT_ONCE]]
    reasons += [(row, f"It failed: {row.status_reason}") for row in Instance.objects.given_up()[:SETTLED_AT_ONCE]]
    return sum(_end(row, SYSTEM, "expire", reason) for row, reason in reasons)


def _end(instance: Instance, actor: Asker, verb: str, reason: str) -> bool:
    with transaction.atomic():
        rows = Instance.objects.select_for_update(no_key=True, of=("self",)).select_related("node__region", "event")
        locked = rows.alive().filter(pk=instance.pk).exclude(desired_status=DesiredStatus.DELETED).first()
        if locked is None:
            return False
        expiry.end(locked, actor=actor, verb=verb, reason=reason)
    return True
