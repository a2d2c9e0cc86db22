"""Periodic slots: claimed once, begun once, never lost, whatever Redis, the clock and workers do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from redis.exceptions import ConnectionError as RedisConnectionError

from hub import cleanup, context, schedule
from hub.management.commands.scheduler import Scheduler
from hub.models import Beat, IdempotentAnswer, PeriodicRun
from hub.schedule import Periodic
from hub.testing import empty_queues, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)

MINUTELY = Periodic("minutely", "hub.tests.test_schedule.note", every=timedelta(minutes=1))
FAILING = Periodic("failing", "hub.tests.test_schedule.fail", every=timedelta(minutes=1))
TABLE = (MINUTELY,)
REAL_TABLE = schedule.PERIODIC
NOON = datetime(2026, 5, 5, 12, 0, 20, tzinfo=UTC)
RAN: list[context.Context] = []


def note() -> None:
    RAN.append(context.current())


def fail() -> None:
    raise RuntimeError("disk full, password=hunter2")


def stop() -> None:
    raise SystemExit(0)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    RAN.clear()
    empty_queues()
    monkeypatch.setattr(schedule, "PERIODIC", (MINUTELY, FAILING))


@pytest.fixture
def known() -> PeriodicRun:
    """The task has run before, so that its slots are claimed at once."""
    return ran(MINUTELY, NOON - timedelta(days=1))


def ran(task: Periodic, now: datetime, **values: Any) -> PeriodicRun:
    facts = {"outcome": "done", "started_at": now, "finished_at": now, "claimed_at": now, **values}
    return PeriodicRun.objects.create(task=task.name, due_at=task.slot(now), **facts)


def outcomes() -> list[str]:
    return list(PeriodicRun.objects.order_by("due_at").values_list("outcome", flat=True))


def redis_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise RedisConnectionError("refused")

    monkeypatch.setattr(schedule, "rq_queue", refuse)


@pytest.mark.parametrize(
    ("task", "slot"),
    [
        (Periodic("t", "p", every=timedelta(minutes=1)), "12:00:00"),
        (Periodic("t", "p", every=timedelta(seconds=15)), "12:00:15"),
        (Periodic("t", "p", every=timedelta(hours=1), at="00:20"), "11:20:00"),
        (Periodic("t", "p", at="02:30"), "02:30:00"),
        (Periodic("t", "p", at="12:00"), "12:00:00"),
    ],
)
def test_slot_is_the_latest_due_time(task: Periodic, slot: str) -> None:
    assert task.slot(NOON).strftime("%d %H:%M:%S") == f"05 {slot}"


def test_slot_later_today_was_yesterday() -> None:
    assert Periodic("t", "p", at="23:00").slot(NOON) == datetime(2026, 5, 4, 23, tzinfo=UTC)


def test_new_task_waits_for_its_next_slot() -> None:
    assert schedule.claim(TABLE, NOON) == []
    assert outcomes() == ["skipped"]

    assert len(schedule.claim(TABLE, NOON + timedelta(minutes=1))) == 1


@pytest.mark.usefixtures("known")
def test_slot_is_claimed_once() -> None:
    assert len(schedule.claim(TABLE, NOON)) == 1
    assert schedule.claim(TABLE, NOON + timedelta(seconds=5)) == []


@pytest.mark.usefixtures("known")
def test_schedulers_at_once_claim_each_slot_once() -> None:
    tables = tuple(Periodic(f"task-{n}", "p", every=timedelta(minutes=1)) for n in range(20))
    for task in tables:
        ran(task, NOON - timedelta(days=1))
    claimed: list[int] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        claimed.extend(run_id for run_id, _ in schedule.claim(tables, NOON))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(claimed) == len(set(claimed)) == 20


def test_missed_slots_run_once_after_downtime() -> None:
    ran(MINUTELY, NOON - timedelta(hours=5))

    claimed = schedule.claim(TABLE, NOON)

    assert len(claimed) == 1
    assert PeriodicRun.objects.get(pk=claimed[0][0]).due_at == NOON.replace(second=0)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("outcome", ["waiting", "running"])
def test_task_never_overlaps_itself(outcome: str) -> None:
    ran(MINUTELY, NOON - timedelta(minutes=1), outcome=outcome)

    assert schedule.claim(TABLE, NOON) == []


def test_run_is_begun_once_however_often_it_is_sent() -> None:
    run = ran(MINUTELY, NOON, outcome="waiting")

    assert schedule.run(run.pk)
    assert not schedule.run(run.pk)
    assert len(RAN) == 1
    run.refresh_from_db()
    assert run.outcome == "done"
    assert run.finished_at


def test_run_has_a_request_id_of_its_own() -> None:
    schedule.run(ran(MINUTELY, NOON, outcome="waiting").pk)

    assert RAN[0].request_id
    assert RAN[0].via == "job"


def test_failed_run_says_why_without_secrets() -> None:
    run = ran(FAILING, NOON, outcome="waiting")

    assert not schedule.run(run.pk)

    run.refresh_from_db()
    assert (run.outcome, run.error) == ("failed", "RuntimeError: disk full, password=[hidden]")


def test_task_that_left_the_table_fails_visibly() -> None:
    run = ran(Periodic("gone", "p"), NOON, outcome="waiting")

    schedule.run(run.pk)

    run.refresh_from_db()
    assert run.error == "LookupError: There is no periodic task gone."


def test_stopped_run_is_recorded_and_the_process_ends() -> None:
    table = (Periodic("stopped", "hub.tests.test_schedule.stop"),)
    run = ran(table[0], NOON, outcome="waiting")

    with pytest.raises(SystemExit):
        schedule.run(run.pk, table)

    run.refresh_from_db()
    assert run.outcome == "lost"


def test_tick_sends_due_work_to_its_queue() -> None:
    ran(MINUTELY, NOON - timedelta(days=1))

    Scheduler(TABLE).tick()
    run_jobs()

    assert outcomes() == ["done", "done"]
    assert len(RAN) == 1


def test_tick_leaves_a_sign_of_life_by_the_database_clock() -> None:
    Scheduler(TABLE).tick()

    assert Beat.objects.filter(name="scheduler", at__lte=Now(), at__gt=Now() - timedelta(seconds=5)).exists()


def test_redis_down_the_scheduler_runs_the_work_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ran(MINUTELY, NOON - timedelta(days=1))
    redis_is_down(monkeypatch)
    scheduler = Scheduler(TABLE)
    monkeypatch.setattr(scheduler, "run_here", lambda runs: [schedule.run(run_id) for run_id, _ in runs])

    scheduler.tick()

    assert outcomes() == ["done", "done"]


def test_flushed_queue_is_noticed_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    ran(MINUTELY, NOON - timedelta(days=1))
    scheduler = Scheduler(TABLE)
    monkeypatch.setattr(scheduler, "run_here", lambda runs: [schedule.run(run_id) for run_id, _ in runs])
    scheduler.tick()
    empty_queues()
    assert outcomes() == ["done", "waiting"]

    PeriodicRun.objects.filter(outcome="waiting").update(claimed_at=Now() - timedelta(seconds=61))
    scheduler.tick()

    assert outcomes()[:2] == ["done", "done"]


def test_late_worker_finds_nothing_to_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    ran(MINUTELY, NOON - timedelta(days=1))
    scheduler = Scheduler(TABLE)
    scheduler.tick()
    schedule.run(PeriodicRun.objects.get(outcome="waiting").pk)

    run_jobs()

    assert len(RAN) == 1


@pytest.mark.parametrize("outcome", ["waiting", "running"])
def test_run_that_nobody_finished_is_lost_and_frees_the_task(outcome: str) -> None:
    run = ran(MINUTELY, NOON, outcome=outcome, finished_at=None)
    PeriodicRun.objects.update(claimed_at=Now() - timedelta(minutes=16), started_at=Now() - timedelta(minutes=16))

    schedule.give_up(TABLE)

    run.refresh_from_db()
    assert (run.outcome, run.error) == ("lost", "Nobody finished it in time.")
    assert len(schedule.claim(TABLE, schedule.beat())) == 1


@pytest.mark.parametrize(("outcome", "end"), [("waiting", "waiting"), ("running", "lost")])
def test_run_that_waits_for_a_place_here_is_not_lost(outcome: str, end: str) -> None:
    table = (Periodic("minutely", "hub.tests.test_schedule.note", every=timedelta(minutes=1), here=True),)
    ran(MINUTELY, NOON, outcome=outcome, started_at=None, claimed_at=Now() - timedelta(hours=9))

    schedule.give_up(table)

    assert outcomes() == [end]


def test_late_finish_of_a_lost_run_changes_nothing() -> None:
    run = ran(MINUTELY, NOON, outcome="lost")

    schedule._finish(run.pk, schedule.Outcome.DONE)

    run.refresh_from_db()
    assert run.outcome == "lost"


def test_clock_stepping_forward_runs_one_slot() -> None:
    ran(MINUTELY, NOON)

    assert len(schedule.claim(TABLE, NOON + timedelta(hours=3))) == 1


def test_clock_stepping_back_a_little_runs_no_slot_twice() -> None:
    ran(MINUTELY, NOON)

    assert schedule.claim(TABLE, NOON - timedelta(seconds=10)) == []


@pytest.mark.parametrize("outcome", ["done", "running"])
def test_task_goes_on_after_a_clock_that_was_hours_ahead(outcome: str) -> None:
    now = schedule.beat()
    ran(MINUTELY, now - timedelta(days=1))
    ran(MINUTELY, now + timedelta(hours=3), outcome=outcome)

    schedule.give_up(TABLE)
    schedule.give_up(TABLE)

    assert len(schedule.claim(TABLE, now)) == 1


def test_database_trouble_is_outlived(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    ran(MINUTELY, NOON - timedelta(days=1))
    scheduler = Scheduler(TABLE)
    scheduler.tick()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = cursor.fetchone()[0]
    terminator = connections.create_connection("default")
    with terminator.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [own])
    terminator.close()

    scheduler.tick()
    scheduler.tick()

    assert not scheduler.in_trouble


def test_task_of_the_table_may_be_run_at_once() -> None:
    assert schedule.run_now("minutely")
    assert not schedule.run_now("failing")

    with pytest.raises(LookupError):
        schedule.run_now("nonsense")


def test_task_run_at_once_takes_the_slot_that_waits_and_never_overlaps_one_that_runs() -> None:
    run = ran(MINUTELY, NOON, outcome="waiting")

    assert schedule.run_now("minutely")
    assert outcomes() == ["done"]

    PeriodicRun.objects.filter(pk=run.pk).update(outcome="running")
    with pytest.raises(CommandError, match="minutely runs already, since "):
        call_command("run_periodic", "minutely")
    assert outcomes() == ["running"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that got a child, which never ends."""
    started: list[str] = []

    class Child:
        def __init__(self, command: list[str], **kwargs: Any) -> None:
            started.append(command[-1])

        def poll(self) -> None:
            return None

    monkeypatch.setattr("subprocess.Popen", Child)
    return started


def test_no_more_children_than_allowed_and_one_per_run(started: list[str]) -> None:
    scheduler = Scheduler(TABLE)

    scheduler.run_here([(1, MINUTELY), (1, MINUTELY), (2, MINUTELY), (3, MINUTELY)])
    scheduler.run_here([(1, MINUTELY), (3, MINUTELY)])

    assert started == ["1", "2"]


def test_what_finds_no_place_has_the_next_one_before_what_is_due_later(
    started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(MINUTELY, NOON - timedelta(days=1))
    redis_is_down(monkeypatch)
    scheduler = Scheduler(TABLE)
    scheduler.run_here([(run_id, MINUTELY) for run_id in (-1, -2, -3)])
    scheduler.children.clear()

    scheduler.tick()

    assert started[:3] == ["-1", "-2", "-3"]
    assert started[3:] == [str(PeriodicRun.objects.get(task=MINUTELY.name, outcome="waiting").pk)]


def test_long_backups_hold_up_neither_the_dump_nor_the_wal_nor_what_no_worker_takes(
    started: list[str],
) -> None:
    names = ("base-backup", "backup-files", "trial-restore", "backup-database", "retain")
    tasks = [*(schedule.find(name, REAL_TABLE) for name in names), schedule._SENDING[0]]

    Scheduler(TABLE).run_here(list(enumerate(tasks)))

    assert started == ["0", "1", "3", "4", "5"]


def test_every_task_of_the_real_table_exists_and_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()

    assert all(callable(import_string(task.path)) for task in schedule.PERIODIC)
    assert len({task.name for task in schedule.PERIODIC}) == len(schedule.PERIODIC)


def answer_of(age: timedelta) -> IdempotentAnswer:
    made = IdempotentAnswer.objects.create(
        actor="user:1", route="POST /x", key=str(age), digest="", status=201, body=""
    )
    IdempotentAnswer.objects.filter(pk=made.pk).update(created_at=Now() - age)
    return made


def test_answers_are_kept_for_a_day() -> None:
    young = answer_of(timedelta(hours=23))
    answer_of(timedelta(hours=25))

    assert cleanup.forget_answers() == 1
    assert IdempotentAnswer.objects.get() == young


def test_runs_are_kept_two_weeks_and_the_newest_of_each_task_for_ever() -> None:
    now = schedule.beat()
    ran(MINUTELY, now - timedelta(days=20))
    kept = [ran(MINUTELY, now - timedelta(days=10)), ran(FAILING, now - timedelta(days=30))]

    assert cleanup.forget_runs() == 1
    assert set(PeriodicRun.objects.all()) == set(kept)


def test_expired_sessions_are_cleared_with_what_allauth_knows_of_them(person: Callable[..., Any]) -> None:
    ada = person("ada")
    for key, expires in (("old", NOON - timedelta(days=900)), ("new", schedule.beat() + timedelta(days=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=expires)
        UserSession.objects.create(user=ada, session_key=key, ip="127.0.0.1", user_agent="")

    cleanup.clear_sessions()

    assert [row.session_key for row in Session.objects.all()] == ["new"]
    assert [row.session_key for row in UserSession.objects.all()] == ["new"]
