"""The job queues as one page: how much waits, what runs, what failed. Redis is asked, and may be away."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST
from redis.exceptions import RedisError
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from hub.api.permissions import page_needs
from hub.exceptions import NotFound, Unavailable
from hub.jobs import DEFAULT_QUEUE, rq_queue

from . import live

FAILED_SHOWN = 50


@dataclass(frozen=True)
class QueueFacts:
    """One queue: how many jobs are in each state."""

    name: str
    waiting: int
    running: int
    failed: int


@dataclass(frozen=True)
class FailedJob:
    """A job that raised: what it was, when, and the last line of its traceback."""

    id: str
    queue: str
    what: str
    at: datetime | None
    error: str


@dataclass(frozen=True)
class Overview:
    """All queues, or why they cannot be told."""

    queues: list[QueueFacts] = field(default_factory=list)
    failed: list[FailedJob] = field(default_factory=list)
    problem: str = ""


@page_needs("jobs.view")
def queue_list(request: HttpRequest) -> HttpResponse:
    """The queues; refreshed by itself."""
    found = look()
    context = {"queues": found.queues, "failed": found.failed, "problem": found.problem}
    if live.is_fragment(request, "queues"):
        return live.answer(request, "partials/queues.html", context, tag=live.etag(found))
    return live.private(render(request, "queues.html", context))


@page_needs("jobs.change")
@require_POST
def job_retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send a failed job again."""
    retry(pk)
    messages.success(request, "Sent again.")
    return redirect("queue_list")


@page_needs("jobs.change")
@require_POST
def job_forget(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Delete a failed job."""
    forget(pk)
    messages.success(request, "Forgotten.")
    return redirect("queue_list")


def retry(pk: UUID) -> None:
    """Send a failed job again."""
    job = _failed(pk)
    _registry(job).requeue(job)


def forget(pk: UUID) -> None:
    """Delete a failed job. The sweep finds in the database what still has to be done."""
    job = _failed(pk)
    _registry(job).remove(job, delete_job=True)


def look() -> Overview:
    """Ask Redis; a queue that it does not know has nothing in it."""
    try:
        queues = sorted(_queues(), key=lambda queue: (queue.name != DEFAULT_QUEUE, queue.name))
        facts = [
            QueueFacts(queue.name, queue.count, _running(queue), FailedJobRegistry(queue=queue).count)
            for queue in queues
        ]
        failed = [job for queue in queues for job in _failed_of(queue)]
    except RedisError as error:
        return Overview(problem=f"Redis does not answer: {error}. Work that waits is found in the database meanwhile.")
    failed.sort(key=lambda job: job.at.timestamp() if job.at else 0, reverse=True)
    return Overview(facts, failed[:FAILED_SHOWN])


def _queues() -> list[Queue]:
    known = {queue.name: queue for queue in Queue.all(rq_queue(DEFAULT_QUEUE).connection, serializer=JSONSerializer)}
    return list({DEFAULT_QUEUE: rq_queue(DEFAULT_QUEUE), **known}.values())


def _running(queue: Queue) -> int:
    return int(StartedJobRegistry(queue=queue).count)


def _failed_of(queue: Queue) -> list[FailedJob]:
    ids = FailedJobRegistry(queue=queue).get_job_ids(0, FAILED_SHOWN - 1)
    jobs = Job.fetch_many(ids, connection=queue.connection, serializer=JSONSerializer)
    return [_facts(job, queue.name) for job in jobs if job is not None]


def _facts(job: Any, queue: str) -> FailedJob:
    result = job.latest_result()
    lines = (result.exc_string or "").strip().splitlines() if result else []
    return FailedJob(job.id, queue, str(job.description or ""), job.ended_at, lines[-1] if lines else "")


def _failed(pk: UUID) -> Job:
    try:
        job = Job.fetch(str(pk), connection=rq_queue(DEFAULT_QUEUE).connection, serializer=JSONSerializer)
        if not job.is_failed:
            raise NotFound("This job has not failed.")
    except (NoSuchJobError, InvalidJobOperation):
        raise NotFound("There is no such job any more.") from None
    except RedisError:
        raise Unavailable("Redis does not answer.") from None
    return job


def _registry(job: Job) -> FailedJobRegistry:
    return FailedJobRegistry(queue=rq_queue(str(job.origin)))
