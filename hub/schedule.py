"""Periodic work: one table, and slots claimed in PostgreSQL, so that any number of schedulers may run.

Each due time of a task is one `PeriodicRun` row; inserting it is the claim, and the database's clock is the only one
that counts. A claimed run is sent to its queue. Beginning it is a second compare-and-set, so that it may be sent twice
and still runs once: when Redis is down, or nobody has begun after a minute (queue flushed, no worker), the scheduler
runs it in a child of its own.

After downtime only the latest slot of a task is claimed, so a missed task runs once; a task that is new waits for its
next slot. A task never overlaps itself: while one run is open, no slot of it is claimed. A run that nobody finished
within its limit is marked lost, which frees the task; one that waits for a place beside the scheduler keeps waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import close_old_connections, connection, transaction
from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from . import context, telemetry
from .exceptions import Conflict
from .health import SCHEDULER_BEAT
from .jobs import DEFAULT_QUEUE, FAILURES_KEPT_SECONDS, rq_queue
from .logs import scrub
from .models import PeriodicRun

logger = logging.getLogger(__name__)

UNBEGUN_SECONDS = 60
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Outcome = PeriodicRun.Outcome


@dataclass(frozen=True)
class Periodic:
    """A function that runs `every` so often (slots counted from the epoch) or once a day `at` an UTC time."""

    name: str
    path: str
    every: timedelta = DAY
    at: str = "00:00"
    queue: str = DEFAULT_QUEUE
    here: bool = False  # beside the scheduler, not on some node: it needs the directory of backups
    apart: bool = False  # with a place of its own there, so that it waits for no long run of another task
    limit: timedelta = timedelta(minutes=15)

    @property
    def place(self) -> str:
        """Which places beside the scheduler it shares: backups and what no worker takes do not hold up each other."""
        if self.apart:
            return self.name
        return "here" if self.here else "queue"

    def slot(self, now: datetime) -> datetime:
        """The latest due time that is not in the future."""
        hours, minutes = map(int, self.at.split(":"))
        offset = timedelta(hours=hours, minutes=minutes) % self.every
        return now - (now - EPOCH - offset) % self.every


_ALERTS = "monitoring.alerts.jobs"
_SENDING = (
    Periodic("send-wal", "hub.backups.offsite.run_send_wal", every=timedelta(minutes=1), here=True, apart=True),
    Periodic(
        "send-backups",
        "hub.backups.offsite.run_send_backups",
        every=timedelta(minutes=10),
        limit=timedelta(hours=12),
        here=True,
    ),
)
PERIODIC: tuple[Periodic, ...] = (
    Periodic("settle-instances", "challenges.jobs.settle_instances", every=timedelta(seconds=15)),
    Periodic("resume-deploys", "challenges.jobs.resume_deploys", every=timedelta(seconds=15)),
    Periodic("forget-instance-output", "challenges.jobs.forget_outputs", every=timedelta(hours=1), at="00:40"),
    Periodic("settle-events", "challenges.jobs.settle_events", every=timedelta(seconds=30)),
    Periodic(
        "backup-database", "hub.backups.dumps.run_backup", at="02:30", limit=timedelta(hours=2), here=True, apart=True
    ),
    Periodic("base-backup", "hub.backups.base.run_base", every=timedelta(hours=1), limit=timedelta(hours=6), here=True),
    Periodic("keep-backups", "hub.backups.base.keep", every=timedelta(hours=1), at="00:50", here=True),
    Periodic("backup-volumes", "hub.nodes.volumes.ask_all", at="02:15"),
    Periodic("backup-files", "hub.backups.files.run_snapshot", at="02:45", limit=timedelta(hours=6), here=True),
    *(_SENDING if settings.HUB_BACKUP_STORE else ()),  # else it would start a process every minute for nothing
    Periodic("trial-restore", "hub.backups.trial.run_trial", at="04:20", limit=timedelta(hours=6), here=True),
    Periodic("clear-sessions", "hub.cleanup.clear_sessions", at="03:10"),
    Periodic("forget-device-lines", "devices.keeping.forget_past", at="03:20", limit=timedelta(hours=1)),
    Periodic("seal-audit", "accounts.jobs.seal_audit", every=timedelta(minutes=1)),
    Periodic("ship-audit", "accounts.jobs.ship_audit", every=timedelta(minutes=1)),
    Periodic("retain", "hub.retention.run_all", at="03:40", limit=timedelta(hours=2)),
    Periodic("forget-answers", "hub.cleanup.forget_answers", every=timedelta(hours=1)),
    Periodic("forget-deleted-servers", "servers.jobs.forget_secrets_of_deleted", at="03:30"),
    Periodic("forget-commands", "servers.jobs.forget_commands", every=timedelta(hours=1), at="00:25"),
    Periodic("follow-trials", "servers.jobs.follow_trials", every=timedelta(seconds=15), limit=timedelta(minutes=2)),
    Periodic("roll-up-samples", "monitoring.jobs.roll_up", every=timedelta(minutes=1)),
    Periodic("keep-samples", "monitoring.jobs.keep_partitions", every=timedelta(hours=1), at="00:10"),
    Periodic("add-up-tallies", "hub.tallies.add_up", every=timedelta(hours=1), at="00:05"),
    Periodic("follow-deployments", "devices.jobs.follow_deployments", every=timedelta(seconds=15)),
    Periodic("sample-devices", "devices.jobs.sample_devices", every=timedelta(minutes=1)),
    Periodic("forget-uploads", "devices.jobs.forget_uploads", every=timedelta(hours=1), at="00:35"),
    Periodic("evaluate-alerts", f"{_ALERTS}.evaluate_rules", every=timedelta(seconds=15), limit=timedelta(minutes=2)),
    Periodic("deliver-alerts", f"{_ALERTS}.deliver_waiting", every=timedelta(seconds=15), limit=timedelta(minutes=5)),
)


def find(name: str, table: Sequence[Periodic]) -> Periodic:
    """The task of that name. Raises LookupError."""
    for task in table:
        if task.name == name:
            return task
    raise LookupError(f"There is no periodic task {name}.")


def beat() -> datetime:
    """Leave a sign of life and return the database's time."""
    sql = "INSERT INTO hub_beat (name, at) VALUES (%s, now()) ON CONFLICT (name) DO UPDATE SET at = now() RETURNING at"
    with connection.cursor() as cursor:
        cursor.execute(sql, [SCHEDULER_BEAT])
        return cursor.fetchone()[0]


def claim(table: Sequence[Periodic], now: datetime) -> list[tuple[int, Periodic]]:
    """Claim the latest slot of every task that has none open; of several schedulers each slot goes to one."""
    sql = """
        INSERT INTO hub_periodicrun (task, due_at, outcome, error)
        SELECT due.task, due.at, CASE WHEN known.yes THEN 'waiting' ELSE 'skipped' END, ''
        FROM unnest(%s::text[], %s::timestamptz[]) AS due (task, at),
            LATERAL (SELECT EXISTS (SELECT FROM hub_periodicrun run WHERE run.task = due.task) AS yes) known
        WHERE NOT EXISTS (
            SELECT FROM hub_periodicrun run WHERE run.task = due.task
            AND (run.due_at = due.at OR run.outcome IN ('waiting', 'running'))
        )
        ON CONFLICT DO NOTHING RETURNING id, task, outcome
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [[task.name for task in table], [task.slot(now) for task in table]])
        claimed = cursor.fetchall()
    return [(run_id, find(name, table)) for run_id, name, outcome in claimed if outcome == Outcome.WAITING]


def give_up(table: Sequence[Periodic]) -> None:
    """Mark as lost what nobody finished within its limit.

    Times ahead of now are from a clock that was wrong: such an open run is lost too, and a closed one more than a
    period ahead is forgotten, because its slot would keep the task from running until the clock has caught up.
    """
    lost = """
        UPDATE hub_periodicrun run SET outcome = 'lost', finished_at = now(), error = 'Nobody finished it in time.'
        FROM unnest(%s::text[], %s::interval[], %s::boolean[]) AS task (name, span, here)
        WHERE run.task = task.name AND run.outcome IN ('waiting', 'running')
        AND (coalesce(run.started_at, run.claimed_at) < now() - task.span
                AND NOT (task.here AND run.outcome = 'waiting')
             OR coalesce(run.started_at, run.claimed_at) > now() + task.span)
        RETURNING run.task, run.due_at
    """
    ahead = """
        DELETE FROM hub_periodicrun run USING unnest(%s::text[], %s::interval[]) AS task (name, span)
        WHERE run.task = task.name AND run.outcome NOT IN ('waiting', 'running') AND run.due_at > now() + task.span
        RETURNING run.task, run.due_at
    """
    names = [task.name for task in table]
    with connection.cursor() as cursor:
        cursor.execute(lost, [names, [task.limit for task in table], [task.here for task in table]])
        for name, due_at in cursor.fetchall():
            logger.error("periodic task %s of %s was lost", name, due_at)
        cursor.execute(ahead, [names, [task.every for task in table]])
        for name, due_at in cursor.fetchall():
            logger.warning("periodic task %s has a run of %s, ahead of the clock: forgotten", name, due_at)


def unbegun(table: Sequence[Periodic]) -> list[tuple[int, Periodic]]:
    """Runs that were sent a minute ago and that no worker has begun."""
    sql = """
        SELECT id, task FROM hub_periodicrun WHERE outcome = 'waiting' AND task = ANY(%s)
        AND claimed_at < now() - %s * interval '1 second' ORDER BY claimed_at
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [[task.name for task in table], UNBEGUN_SECONDS])
        return [(run_id, find(name, table)) for run_id, name in cursor.fetchall()]


def send(run_id: int, task: Periodic) -> bool:
    """Put a claimed run on its queue; False when it is for the scheduler itself or Redis does not take it."""
    if task.here:
        return False
    try:
        rq_queue(task.queue).enqueue(
            "hub.schedule.run",
            run_id,
            job_timeout=int(task.limit.total_seconds()),
            result_ttl=0,
            failure_ttl=FAILURES_KEPT_SECONDS,
        )
    except RedisError as error:
        logger.warning("periodic task %s not sent, running it here: %s", task.name, error)
        return False
    return True


def run(run_id: int, table: Sequence[Periodic] | None = None) -> bool:
    """Run a claimed slot once, whoever comes first, and record how it ended; True when it succeeded."""
    begun = PeriodicRun.objects.filter(pk=run_id, outcome=Outcome.WAITING)
    if not begun.update(outcome=Outcome.RUNNING, started_at=_now()):
        return False
    name = PeriodicRun.objects.values_list("task", flat=True).get(pk=run_id)
    with context.use(context.Context(request_id=context.new_request_id(), via="job")):
        try:
            with telemetry.span(name):
                import_string(find(name, PERIODIC if table is None else table).path)()
        except Exception as error:
            logger.exception("periodic task %s failed", name, extra={"job": name})
            _finish(run_id, Outcome.FAILED, f"{type(error).__name__}: {error}")
            return False
        except BaseException as error:  # a stop signal: the run is over, and the process may go
            _finish(run_id, Outcome.LOST, f"Stopped by {type(error).__name__}.")
            raise
    _finish(run_id, Outcome.DONE)
    return True


def run_now(name: str) -> bool:
    """Run a task at once, in this process: the slot that waits, or one of its own. Raises Conflict while it runs."""
    find(name, PERIODIC)
    with transaction.atomic():
        with connection.cursor() as cursor:  # what claims at this moment ends first, and is seen
            cursor.execute("LOCK TABLE hub_periodicrun IN SHARE ROW EXCLUSIVE MODE")
        row = PeriodicRun.objects.filter(task=name, outcome__in=(Outcome.WAITING, Outcome.RUNNING)).first()
        if row and row.outcome == Outcome.RUNNING:
            raise Conflict(f"{name} runs already, since {row.started_at:%Y-%m-%d %H:%M:%S} UTC.", code="running")
        row = row or PeriodicRun.objects.create(task=name, due_at=_now())
    return run(row.pk)


def _finish(run_id: int, outcome: PeriodicRun.Outcome, error: str = "") -> None:
    close_old_connections()  # the task may have run for hours, and PostgreSQL may have restarted under it
    open_run = PeriodicRun.objects.filter(pk=run_id, outcome=Outcome.RUNNING)
    open_run.update(outcome=outcome, finished_at=_now(), error=scrub(error)[:1000])


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
