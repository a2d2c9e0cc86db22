"""Is the hub well? Named checks that apps register, each run in a thread of its own under a deadline.

A failed critical check makes the answer 503. Anything else that is wrong is shown as degraded and answered with 200:
the hub still serves pages, and an orchestrator that restarted it would only make it worse.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final, Literal

import redis
from django.conf import settings
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from . import vault

logger = logging.getLogger(__name__)

State = Literal["ok", "degraded", "down"]
OK: Final = "ok"
DEGRADED: Final = "degraded"
DOWN: Final = "down"
_BEGAN = time.monotonic()  # of this process
_RANK = {OK: 0, DEGRADED: 1, DOWN: 2}

DEADLINE_SECONDS = 2.0
KEEP_SECONDS = 2.0
READY: Final = frozenset({"database", "migrations"})
SCHEDULER_BEAT = "scheduler"
BEAT_STALE = timedelta(seconds=60)
CLOCK_OFF_SECONDS = 2.0
DISK_LOW_BYTES, DISK_FULL_BYTES = 2 * 1024**3, 128 * 1024**2


@dataclass(frozen=True)
class Finding:
    """What a check says; `detail` is for operators and never holds a secret."""

    state: State
    detail: str = ""


@dataclass(frozen=True)
class Result:
    """A finding with its name, how long it took, and whether the hub can do without."""

    name: str
    state: State
    detail: str
    ms: float
    critical: bool

    @property
    def weight(self) -> State:
        """What this means for the whole."""
        return DEGRADED if self.state == DOWN and not self.critical else self.state


@dataclass(frozen=True)
class Report:
    """All results together."""

    results: tuple[Result, ...]

    @property
    def state(self) -> State:
        return max((result.weight for result in self.results), key=_RANK.__getitem__, default=OK)

    @property
    def status(self) -> int:
        return 503 if self.state == DOWN else 200

    def as_dict(self, *, details: bool) -> dict[str, object]:
        checks = [
            {"name": each.name, "state": each.state, "ms": each.ms} | ({"detail": each.detail} if details else {})
            for each in self.results
        ]
        now = {"timestamp": timezone.now().isoformat(), "uptime_seconds": round(time.monotonic() - _BEGAN)}
        return {"status": self.state, "version": settings.VERSION, **now, "checks": checks}


Check = Callable[[], Finding]


class _Runner:
    """Runs one check, never twice at once: a hung one is reported as such and not joined by more threads."""

    def __init__(self, name: str, check: Check, *, critical: bool) -> None:
        self.name, self.check, self.critical = name, check, critical
        self.lock = threading.Lock()
        self.began = 0.0
        self.done: threading.Event | None = None
        self.result: Result | None = None

    def start(self) -> threading.Event:
        with self.lock:
            if self.done is None or self.done.is_set():
                self.done, self.began = threading.Event(), time.monotonic()
                threading.Thread(target=self._run, args=(self.done,), name=f"health-{self.name}", daemon=True).start()
            return self.done

    def wait(self, done: threading.Event, deadline: float) -> Result:
        if done.wait(max(0.0, deadline - time.monotonic())) and self.result:
            return self.result
        waited = time.monotonic() - self.began
        return Result(self.name, DOWN, f"no answer after {waited:.0f} s", round(waited * 1000, 1), self.critical)

    def _run(self, done: threading.Event) -> None:
        try:
            finding = self.check()
        except Exception as error:  # noqa: BLE001 - whatever a check raises is its finding
            logger.warning("health check %s failed: %s", self.name, error)
            finding = Finding(DOWN, type(error).__name__)
        finally:
            connections.close_all()
        ms = round((time.monotonic() - self.began) * 1000, 1)
        self.result = Result(self.name, finding.state, finding.detail, ms, self.critical)
        done.set()


_runners: dict[str, _Runner] = {}
_kept: dict[frozenset[str] | None, tuple[float, Report]] = {}


def register(name: str, check: Check, *, critical: bool = False) -> None:
    """Add a check; apps do this in `AppConfig.ready`. It runs in its own thread, with its own database connection."""
    _runners[name] = _Runner(name, check, critical=critical)


def report(only: Collection[str] | None = None) -> Report:
    """Run the checks side by side, or hand out what was found a moment ago, so that asking often costs little."""
    wanted = None if only is None else frozenset(only)
    kept = _kept.get(wanted)
    if kept and time.monotonic() - kept[0] < KEEP_SECONDS:
        return kept[1]
    runners = [runner for name, runner in _runners.items() if wanted is None or name in wanted]
    deadline = time.monotonic() + DEADLINE_SECONDS
    started = [(runner, runner.start()) for runner in runners]
    found = Report(tuple(runner.wait(done, deadline) for runner, done in started))
    _kept[wanted] = (time.monotonic(), found)
    return found


def beat_finding(name: str, last: datetime | None, *, stale: timedelta = BEAT_STALE) -> Finding:
    """What the age of a last sign of life means."""
    if last is None:
        return Finding(DEGRADED, f"{name} has never run")
    age = timezone.now() - last
    return Finding(DEGRADED if age > stale else OK, f"{name} seen {max(0, round(age.total_seconds()))} s ago")


def check_database() -> Finding:
    """One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), pg_is_in_recovery()")
        version, is_standby = cursor.fetchone()
    return Finding(DOWN, "the database is a read-only standby") if is_standby else Finding(OK, f"PostgreSQL {version}")


def check_clock() -> Finding:
    """This machine's clock beside the database's, which decides about leases, slots and samples."""
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        theirs = float(cursor.fetchone()[0])
    after = time.time()
    ahead = before - theirs if theirs < before else min(0.0, after - theirs)
    state: State = DEGRADED if abs(ahead) > CLOCK_OFF_SECONDS else OK
    return Finding(state, f"{abs(ahead):.1f} s {'behind' if ahead < 0 else 'ahead of'} the database")


def check_migrations() -> Finding:
    """Compare the migrations on disk, read once, with those the database has."""
    applied = set(MigrationRecorder(connection).applied_migrations())
    pending = sorted(f"{app}.{name}" for app, name in _migrations_on_disk() - applied)
    return Finding(DOWN, f"{len(pending)} to apply, first {pending[0]}") if pending else Finding(OK)


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    loader = MigrationLoader(None)
    replaced = {old for migration in loader.disk_migrations.values() for old in migration.replaces}
    return frozenset(set(loader.graph.nodes) - replaced)


def check_redis() -> Finding:
    """Ask Redis with short timeouts; without it jobs wait for the next sweep, but pages work."""
    _redis().ping()
    return Finding(OK)


@cache
def _redis() -> redis.Redis:
    return redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, retry=None)


def check_disk() -> Finding:
    """Room left where the hub keeps its data."""
    place = next(path for path in (settings.HUB_DATA, *settings.HUB_DATA.parents) if path.exists())
    free = shutil.disk_usage(place).free
    state: State = OK if free > DISK_LOW_BYTES else DEGRADED if free > DISK_FULL_BYTES else DOWN
    return Finding(state, f"{free // 1024**2} MB free")


def check_scheduler() -> Finding:
    """Some scheduler has looked at the table of periodic work lately."""
    from .models import Beat  # models are not ready when this module is imported by an AppConfig

    return beat_finding("scheduler", Beat.objects.filter(name=SCHEDULER_BEAT).values_list("at", flat=True).first())


def check_vault() -> Finding:
    """Whether the keeper of secrets can be asked; what was opened lately still is."""
    wrong = vault.transit(settings.HUB_VAULT).state()
    kept = f"; what was opened is kept for {settings.HUB_VAULT.cache_seconds} s"
    return Finding(DEGRADED, wrong + kept) if wrong else Finding(OK)


def register_own_checks() -> None:
    """The checks of the hub itself."""
    if settings.HUB_VAULT.url:
        register("vault", check_vault)
    register("database", check_database, critical=True)
    register("migrations", check_migrations, critical=True)
    register("redis", check_redis)
    register("disk", check_disk, critical=True)
    register("scheduler", check_scheduler)
    register("clock", check_clock)
