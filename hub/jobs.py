"""Send work to a queue: by dotted path, with JSON arguments, after the transaction commits.

Redis is transport, never truth. A job that cannot be sent (Redis down) or is lost (flushed) costs only time, because
the sweep of each node finds the same work in PostgreSQL; so a failure here is logged and not raised. Job ids are
random: fixed ids and `unique` lose or block jobs in rq. Arguments are keys, never secrets.
"""

from __future__ import annotations

import logging
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue, get_current_job
from rq.serializers import JSONSerializer

from . import context, telemetry
from .failpoints import declare, failpoint

logger = logging.getLogger(__name__)
declare("jobs.before_send", "jobs.after_send")

DEFAULT_QUEUE = "default"
JOB_TIMEOUT_SECONDS = 960
FAILURES_KEPT_SECONDS = 7 * 86_400  # rq's default is a year, and they live in memory


def node_queue(node_name: str) -> str:
    """The queue that only this node's agent serves."""
    return f"node:{node_name}"


def rq_queue(name: str) -> Queue:
    """An rq queue by any name; nodes' queues come and go, so they are not in settings."""
    return _queue(name, _connection())


@lru_cache(maxsize=1_000)
def _queue(name: str, connection: Redis) -> Queue:
    """Kept, because each new one asks for the version of Redis before it sends."""
    return Queue(name, connection=connection, serializer=JSONSerializer)


@cache
def _connection() -> Redis:
    """Short timeouts and one retry: by default redis-py waits for ever and retries ten times, inside a request."""
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=3, socket_connect_timeout=1, retry=Retry(NoBackoff(), retries=1)
    )


def enqueue(path: str, *args: str | int | None, queue: str = DEFAULT_QUEUE) -> None:
    """Send a job once the transaction at hand has committed (at once when there is none)."""
    request_id = context.current().request_id
    transaction.on_commit(lambda: _send(path, args, queue, request_id))


def perform(path: str, request_id: str, *args: Any) -> None:
    """What a worker runs: the function, in the name of the request that asked for it."""
    job = get_current_job()
    facts = context.Context(
        request_id=request_id or context.new_request_id(), via="job", job_id=job.id if job is not None else ""
    )
    with context.use(facts):
        try:
            with telemetry.span(path):
                import_string(path)(*args)
        except Exception:
            logger.exception("job %s failed", path, extra={"job": path})
            raise


def _send(path: str, args: tuple[Any, ...], queue: str, request_id: str) -> None:
    failpoint("jobs.before_send")
    try:
        with _connection().pipeline() as one_round_trip:
            rq_queue(queue).enqueue(
                "hub.jobs.perform",
                args=(path, request_id, *args),
                description=f"{path}{args}",
                job_timeout=JOB_TIMEOUT_SECONDS,
                result_ttl=0,
                failure_ttl=FAILURES_KEPT_SECONDS,
                pipeline=one_round_trip,
            )
            one_round_trip.execute()
    except RedisError as error:
        logger.warning("job %s not sent, the sweep will find the work: %s", path, error)
    failpoint("jobs.after_send")
