"""The agent's sampler: measures its machine and every workload on it, and delivers batches in order.

It runs as a child of the agent (`hub.nodes.agent`), without threads. With the database away it goes on measuring into
its buffer on disk, with the engine it knew last.
"""

from __future__ import annotations

import logging
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, close_old_connections, connections

from hub.engines.base import Engine, EngineError, workload_name
from hub.nodes.choices import ObservedStatus
from hub.nodes.engines import engine_for
from hub.nodes.models import Node
from hub.nodes.workloads import workload_models
from hub.postgres.single import keep_one_connection

from . import events
from .measure import Caps, HostMeter, Reading, WorkloadMeter
from .spool import Batch, Spool
from .store import store, store_batch

logger = logging.getLogger(__name__)
AT_ONCE = 60  # batches in one transaction, after an outage
REFUSED = (DataError, IntegrityError, ValueError)
MIB, MB = 2**20, 10**6
LOOK = ("status_reason", "restart_count", "started_at")


def spool_of(node_name: str) -> Spool:
    """The buffer of a node's agent on this machine."""
    return Spool(Path(settings.HUB_DATA) / "samples" / node_name, max_bytes=settings.HUB_SPOOL_MB * MIB)


def node_subject(name: str) -> str:
    """The subject key of a node."""
    return f"node:{name}"


class Sampler:
    """Measures and delivers for one node."""

    def __init__(self, node_name: str, spool: Spool, *, engine: Engine | None = None) -> None:
        self.node_name, self.spool, self.given, self.engine = node_name, spool, engine, engine
        self.host = HostMeter(Path(settings.HUB_DATA))
        self.workloads = WorkloadMeter()
        self.caps: dict[str, tuple[str, Caps]] = {}
        self.looks: dict[str, events.Look] = {}
        self.is_away = False

    def round(self) -> int:
        """Measure, keep, deliver; says how many subjects were measured."""
        is_there = self.learn()
        readings = self.measure()
        self.spool.add([reading.line() for reading in readings])
        if is_there:  # else the next round tries: asked twice, a database that is far away might cost a round
            self.deliver()
        return len(readings)

    def measure(self) -> list[Reading]:
        """The machine, and what its engine tells of the workloads that the hub knows."""
        at = datetime.now(UTC)
        readings = [self.host.read(node_subject(self.node_name), at)]
        try:
            used = self.engine.usage() if self.engine else {}
        except EngineError as error:
            logger.warning("usage on %s: %s", self.node_name, error)
            return readings
        for name, usage in used.items():
            if known := self.caps.get(name):
                readings.append(self.workloads.read(known[0], at, usage, known[1]))
        self.workloads.rates.keep_only({reading.subject for reading in readings})
        return readings

    def deliver(self) -> int:
        """Hand over what waits, oldest first; says how many batches the database took."""
        delivered = 0
        while batches := self.spool.waiting()[:AT_ONCE]:
            try:
                self._store(batches)
            except REFUSED:
                self._store_one_by_one(batches)
            except (DatabaseError, OSError) as error:
                self._note_away(error)
                return delivered
            self.spool.forget(batches)
            delivered += len(batches)
            self.is_away = False
        return delivered

    def _store(self, batches: list[Batch]) -> None:
        lines = [line for batch in batches for line in batch.lines()]
        waiting = max(0, len(self.spool.waiting()) - len(batches))
        store_batch(
            lines,
            feed=self.spool.feed,
            name=self.node_name,
            sequence=batches[-1].sequence,
            waiting=waiting,
            dropped=self.spool.dropped,
        )

    def _store_one_by_one(self, batches: list[Batch]) -> None:
        """Find the one that the database refuses."""
        for batch in batches:
            try:
                self._store([batch])
            except REFUSED:
                logger.exception("the database refuses batch %d of %s", batch.sequence, self.node_name)
                self.spool.set_aside(batch)

    def learn(self) -> bool:
        """Look up the node's engine and what its workloads were promised; what was known stays when that fails.

        Says whether the database answered.
        """
        try:
            node = Node.objects.get(name=self.node_name)
            self.engine = self.given or engine_for(node)
            self.caps, looks = workloads_of(node)
            events.notice(self.looks, looks)
            self.looks = looks
        except Node.DoesNotExist:
            self.caps = {}
        except EngineError as error:
            logger.warning("engine of %s: %s", self.node_name, error)
        except (DatabaseError, OSError) as error:
            self._note_away(error)
            return False
        return True

    def _note_away(self, error: Exception) -> None:
        if not self.is_away:
            logger.warning("samples of %s wait for the database: %s", self.node_name, error)
        self.is_away = True
        connections.close_all()


ROW = ("pk", "memory_mb", "cpu_percent", "disk_mb", "facts", "observed_status", *LOOK)


def workloads_of(node: Node) -> tuple[dict[str, tuple[str, Caps]], dict[str, events.Look]]:
    """Subject and limits of each workload of a node, by the name that its engine knows; and how each is."""
    found: dict[str, tuple[str, Caps]] = {}
    looks: dict[str, events.Look] = {}
    for model in workload_models():
        rows: Any = model.objects.filter(node=node).alive()
        for row in rows.values(*ROW):
            subject = f"{model.kind}:{row['pk']}"
            players = row["facts"].get("players") if row["observed_status"] == ObservedStatus.RUNNING else None
            caps = Caps(
                row["cpu_percent"],
                row["memory_mb"] * MIB,
                row["disk_mb"] * MB,
                float(players) if isinstance(players, int | float) else None,
            )
            found[workload_name(model.kind, row["pk"])] = (subject, caps)
            looks[subject] = events.Look(row["observed_status"], *(row[name] for name in LOOK))
    return found, looks


def run_forever(node_name: str) -> None:
    """The agent's child: a round at every whole multiple of the interval."""
    keep_one_connection()
    sampler = Sampler(node_name, spool_of(node_name))
    every = settings.HUB_SAMPLE_SECONDS
    while True:
        time.sleep(every - time.time() % every)
        try:
            sampler.round()
        except OSError:  # the disk of the buffer is full or away: this round is lost, the next is tried
            logger.exception("the samples of %s could not be kept", node_name)
        close_old_connections()


def sample_now(node_name: str, *, pause: float = 1.0) -> list[Reading]:
    """Measure at once and store, beside the loop: twice with a pause between, because most of it are rates."""
    with tempfile.TemporaryDirectory(prefix="hub-samples-") as folder:
        sampler = Sampler(node_name, Spool(Path(folder), max_bytes=MIB))
        sampler.learn()
        sampler.measure()
        time.sleep(pause)
        readings = sampler.measure()
    store([reading.line() for reading in readings])
    return readings
