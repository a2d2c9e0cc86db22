"""The end of instances whose time is over: asked for by every agent's tick, so that no scheduler is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts import audit
from accounts.actors import SYSTEM
from hub.exceptions import Conflict
from hub.nodes import operations
from hub.nodes.choices import DesiredStatus
from hub.nodes.models import Node, Operation

if TYPE_CHECKING:
    from accounts.actors import Asker
    from challenges.instances.querysets import InstanceQuerySet
    from challenges.models import Instance

MOST_AT_ONCE = 50


def expire_due(model: type[Instance], node: Node) -> int:
    """End those on a node whose time is over; says how many."""
    due = model.objects.filter(node=node).past_end().values_list("pk", flat=True)[:MOST_AT_ONCE]
    ended = 0
    for pk in list(due):
        with transaction.atomic():
            rows = model.objects.select_for_update(no_key=True, of=("self",)).select_related("node__region", "event")
            instance = rows.past_end().filter(pk=pk).first()
            if instance is not None:
                end(instance, actor=SYSTEM, verb="expire", reason="Its time was over.")
                ended += 1
    return ended


def end(instance: Instance, *, actor: Asker, verb: str, reason: str) -> Operation:
    """Ask for the removal of a locked instance: its address rests once the engine has confirmed that it is gone."""
    operation = operations.wish(instance, verb=verb, actor=actor, desired=DesiredStatus.DELETED)
    type(instance)._base_manager.filter(pk=instance.pk).update(end_reason=reason[:200])
    audit.record(actor, f"instance.{ENDED.get(verb, verb)}", instance, reason=reason)
    return operation


def end_all(rows: InstanceQuerySet, *, actor: Asker, verb: str, reason: str) -> None:
    """The same for all of these that nobody has ended yet."""
    held = rows.wanted().select_for_update(no_key=True, of=("self",)).select_related("node__region", "event")
    for instance in held.order_by("pk"):
        end(instance, actor=actor, verb=verb, reason=reason)


def forget_copies(rows: InstanceQuerySet) -> None:
    """Delete the rows of test copies that are gone, so that their challenge or team can go.

    Refused while a copy is there, and where teams have had instances in an event: those are part of its history.
    """
    if rows.alive().exists():
        raise Conflict("A copy of it is there still. Stop it first.", code="instance_there")
    if rows.filter(event__isnull=False).exists():
        raise Conflict("It had instances in an event, which stay in its history.", code="instances_stay")
    rows.delete()


ENDED = {"expire": "expired", "delete": "removed", "kill": "killed"}
