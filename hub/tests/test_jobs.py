"""Sending work to queues."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from django.db import transaction
from redis import Redis
from rq import Queue

from hub import context, jobs
from hub.testing import empty_queues, run_commit_hooks, run_jobs

pytestmark = pytest.mark.django_db

SEEN: list[Any] = []


def note(*args: Any) -> None:
    SEEN.append((args, context.current()))


def fail() -> None:
    raise RuntimeError("as asked")


@pytest.fixture(autouse=True)
def _empty() -> None:
    SEEN.clear()
    empty_queues()


def waiting(queue: str = jobs.DEFAULT_QUEUE) -> int:
    return len(jobs.rq_queue(queue).get_job_ids())


def test_job_is_sent_only_after_commit() -> None:
    jobs.enqueue("hub.tests.test_jobs.note", 5)
    assert waiting() == 0

    run_commit_hooks()

    assert waiting() == 1


@pytest.mark.django_db(transaction=True)
def test_job_of_a_transaction_that_rolls_back_is_never_sent() -> None:
    def work() -> None:
        with transaction.atomic():
            jobs.enqueue("hub.tests.test_jobs.note")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()

    assert waiting() == 0


@pytest.mark.django_db(transaction=True)
def test_job_outside_a_transaction_is_sent_at_once() -> None:
    jobs.enqueue("hub.tests.test_jobs.note")

    assert waiting() == 1


def test_job_goes_to_the_queue_of_its_node() -> None:
    jobs.enqueue("hub.tests.test_jobs.note", queue=jobs.node_queue("local"))
    run_commit_hooks()

    assert (waiting(), waiting("node:local")) == (0, 1)


def test_job_runs_in_the_name_of_the_request_that_asked() -> None:
    with context.use(context.Context(request_id="r-12345678", ip="203.0.113.5", via="api")):
        jobs.enqueue("hub.tests.test_jobs.note", 5, "five", None)
        run_commit_hooks()

    run_jobs()

    args, facts = SEEN[0]
    assert args == (5, "five", None)
    assert (facts.request_id, facts.via, facts.ip) == ("r-12345678", "job", None)
    assert facts.job_id
    assert context.current().job_id == ""


def test_same_work_may_be_sent_twice() -> None:
    jobs.enqueue("hub.tests.test_jobs.note", 1)
    jobs.enqueue("hub.tests.test_jobs.note", 1)
    run_commit_hooks()

    assert waiting() == 2


def test_arguments_travel_as_json() -> None:
    jobs.enqueue("hub.tests.test_jobs.note", "ä")
    run_commit_hooks()

    job = jobs.rq_queue(jobs.DEFAULT_QUEUE).get_jobs()[0]
    data = job.to_dict()["data"]
    assert b"pickle" not in data
    assert job.description == "hub.tests.test_jobs.note('ä',)"


def test_redis_away_is_logged_and_costs_little_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = Redis.from_url("unix:///nowhere/valkey.sock", retry=jobs._connection().get_retry())
    monkeypatch.setattr(jobs, "rq_queue", lambda name: Queue(name, connection=away))
    began = time.monotonic()

    with caplog.at_level(logging.WARNING):
        jobs.enqueue("hub.tests.test_jobs.note")
        run_commit_hooks()

    assert "job hub.tests.test_jobs.note not sent" in caplog.text
    assert time.monotonic() - began < 1


def test_hung_redis_is_given_up() -> None:
    kwargs = jobs._connection().connection_pool.connection_kwargs

    assert kwargs["socket_timeout"] <= 5
    assert kwargs["socket_connect_timeout"] <= 2


def test_failing_job_fails_the_test_unless_told() -> None:
    jobs.enqueue("hub.tests.test_jobs.fail")
    jobs.enqueue("hub.tests.test_jobs.fail")

    with pytest.raises(RuntimeError, match="as asked"):
        run_jobs()
    assert run_jobs(raising=False) == ["hub.tests.test_jobs.fail()"]
