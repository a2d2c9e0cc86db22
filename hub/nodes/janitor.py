"""End what its own labels say is over, while the database cannot be asked."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from hub.engines.base import LABEL_EXPIRES, Engine, EngineError, Observation
from hub.failpoints import declare, failpoint

logger = logging.getLogger(__name__)

declare("janitor.before_remove", "janitor.after_remove")

PATIENCE = timedelta(minutes=5)
"""The database decides as long as it answers; so a short outage ends nothing."""


def reap_expired(engine: Engine, now: datetime | None = None) -> list[str]:
    """Remove workloads whose last moment is past by their labels alone; says which. Those without one stay."""
    latest = (now or datetime.now(UTC)) - PATIENCE
    removed = []
    for seen in engine.list_owned():
        ends = last_moment(seen)
        if ends is None or ends > latest:
            continue
        failpoint("janitor.before_remove")
        try:
            engine.remove(seen.name)
            failpoint("janitor.after_remove")
        except EngineError as error:
            logger.warning("%s is over and could not be removed: %s", seen.name, error)
            continue
        logger.warning("%s was removed: its time was over at %s, and the database does not answer", seen.name, ends)
        removed.append(seen.name)
    return removed


def last_moment(seen: Observation) -> datetime | None:
    """What a workload's label says; None for one without an end."""
    try:
        ends = datetime.fromisoformat(seen.labels.get(LABEL_EXPIRES, ""))
    except ValueError:
        return None
    return ends if ends.tzinfo else None
