"""What people and programs do with measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from accounts.permissions import require
from hub.exceptions import Invalid, NotFound
from hub.jobs import enqueue, node_queue
from hub.nodes.models import Node

from . import store, subjects, tables
from .measure import Reading
from .metrics import BY_NAME

if TYPE_CHECKING:
    from accounts.actors import Asker

AHEAD = timedelta(minutes=5)


def measure_node(name: str, *, actor: Asker) -> None:
    """Have a node's agent measure now; the web process never looks at a machine itself."""
    require(actor, "metrics.sample")
    if not Node.objects.visible_to(actor).filter(name=name).exists():
        raise NotFound("There is no such node.", field="node")
    enqueue("monitoring.jobs.sample_node", name, queue=node_queue(name))


def store_samples(key: str, samples: Sequence[Mapping[str, Any]], *, actor: Asker) -> int:
    """Store what somebody else has measured of a subject that the actor may see."""
    require(actor, "metrics.sample")
    subject = subjects.one(actor, key)
    now = timezone.now()
    readings = []
    for sample in samples:
        at: datetime = sample.get("at") or now
        values = {name: float(sample[name]) for name in BY_NAME if name in sample}
        if not values:
            raise Invalid("A sample measures nothing.", field="samples")
        if at > now + AHEAD or at < now - tables.SAMPLE.keep:
            raise Invalid("A sample is of a time that is not kept, or ahead of the clock.", field="samples")
        readings.append(Reading(subject.key, at, values))
    store.store([reading.line() for reading in readings])
    return len(readings)
