"""The scheduler as a process: several at once, Redis away, the database restarting, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from hub import schedule
from hub.models import Beat, PeriodicRun
from hub.testing import child_environment, empty_queues, run_jobs, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

NO_REDIS = {"REDIS_URL": "unix:///nowhere/valkey.sock?db=0"}
TASK = "forget-answers"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start schedulers; they are gone after the test."""
    running: list[subprocess.Popen[bytes]] = []

    def run(**environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "scheduler", "--every", "0.2"]
        running.append(subprocess.Popen(command, cwd=settings.BASE_DIR, env=child_environment(**environment)))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def due() -> None:
    make_due()


def make_due() -> None:
    """One task of the real table has a slot to be claimed; the others are new and wait."""
    empty_queues()
    schedule.claim(schedule.PERIODIC, schedule.beat())
    PeriodicRun.objects.filter(task=TASK).delete()
    past = schedule.beat() - timedelta(days=1)
    PeriodicRun.objects.create(task=TASK, due_at=past, outcome="done", finished_at=past)
    Beat.objects.all().delete()


def runs() -> list[str]:
    return list(PeriodicRun.objects.filter(task=TASK).order_by("due_at").values_list("outcome", flat=True))


@pytest.mark.usefixtures("due")
def test_two_schedulers_without_redis_run_a_slot_once(start: Start) -> None:
    first, second = start(**NO_REDIS), start(**NO_REDIS)

    wait_until(lambda: runs() == ["done", "done"], what=f"the run of {TASK}")
    beat = Beat.objects.get().at
    wait_until(lambda: Beat.objects.get().at > beat)

    assert runs() == ["done", "done"]
    assert [first.poll(), second.poll()] == [None, None]


@pytest.mark.usefixtures("due")
def test_work_waits_on_the_queue_for_a_worker(start: Start) -> None:
    start()
    wait_until(lambda: runs() == ["done", "waiting"])

    wait_until(run_jobs, what="a job on the queue")

    assert runs() == ["done", "done"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(start: Start, number: signal.Signals, tmp_path: Path) -> None:
    scheduler = start(HUB_ALIVE=str(tmp_path / "alive"))
    wait_until(Beat.objects.exists)
    wait_until((tmp_path / "alive").exists, what="a sign for its container's health check")

    scheduler.send_signal(number)

    assert scheduler.wait(60) == 0


def test_goes_on_after_the_database_cut_every_connection(start: Start) -> None:
    scheduler = start(**NO_REDIS)
    wait_until(Beat.objects.exists)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    make_due()

    wait_until(Beat.objects.exists, what="a beat after the cut")
    wait_until(lambda: runs() == ["done", "done"])
    assert scheduler.poll() is None


def test_command_runs_a_task_and_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("run_periodic", TASK)
    call_command("run_periodic")

    listed: Any = capsys.readouterr().out
    assert f"{TASK:<24} done, due " in listed
    assert "clear-sessions           never run" in listed


def test_command_refuses_an_unknown_task() -> None:
    with pytest.raises(CommandError, match="There is no periodic task nonsense"):
        call_command("run_periodic", "nonsense")


def test_command_fails_when_the_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.cleanup.forget_answers", lambda: 1 / 0)

    with pytest.raises(CommandError, match="ZeroDivisionError"):
        call_command("run_periodic", TASK)
