"""The page of the job queues."""

from __future__ import annotations

import uuid

import django_rq
import pytest
from django.urls import reverse
from redis.exceptions import ConnectionError as RedisGone
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from accounts.tests.factories import UserFactory, token_for, token_header
from hub.jobs import DEFAULT_QUEUE, rq_queue
from hub.pages import queues
from hub.testing import empty_queues

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty() -> None:
    empty_queues()


@pytest.fixture
def admin(client):
    client.force_login(UserFactory(role="Admin"))
    return client


def fail_one() -> str:
    """Let a job fail as a worker would."""
    queue = rq_queue(DEFAULT_QUEUE)
    job = queue.enqueue("hub.pages.tests.test_queues.explode", failure_ttl=600)
    # A worker raises the time-outs of its connection, which is why it has one of its own.
    SimpleWorker([queue], connection=django_rq.get_connection(), serializer=JSONSerializer).work(burst=True)
    return str(job.id)


def explode() -> None:
    raise ValueError("out of luck")


def test_waiting_jobs_are_counted(admin):
    rq_queue("node:harare-1").enqueue("hub.pages.tests.test_queues.explode")

    text = admin.get(reverse("queue_list")).content.decode()

    assert "node:harare-1" in text
    assert queues.look().queues[1].waiting == 1


def test_failed_job_says_why(admin):
    fail_one()

    assert b"ValueError: out of luck" in admin.get(reverse("queue_list")).content


def test_failed_job_is_sent_again(admin):
    pk = fail_one()

    admin.post(reverse("job_retry", args=[pk]))

    assert rq_queue(DEFAULT_QUEUE).get_job_ids() == [pk]


def test_failed_job_is_forgotten(admin):
    pk = fail_one()

    admin.post(reverse("job_forget", args=[pk]))

    assert queues.look().failed == []


def test_job_that_is_gone_is_not_found(admin):
    assert admin.post(reverse("job_retry", args=[uuid.uuid4()])).status_code == 404


def test_redis_away_is_said_and_no_error(admin, monkeypatch):
    def gone() -> None:
        raise RedisGone("connection refused")

    monkeypatch.setattr(queues, "_queues", gone)

    answer = admin.get(reverse("queue_list"))

    assert answer.status_code == 200
    assert b"Redis does not answer" in answer.content


def test_api_lists_failed_jobs_and_sends_one_again(admin):
    pk = fail_one()

    (shown,) = admin.get("/api/v1/failed-jobs").json()
    answer = admin.post(f"/api/v1/failed-jobs/{pk}/retry")

    assert (shown["id"], shown["error"]) == (pk, "ValueError: out of luck")
    assert (answer.status_code, rq_queue(DEFAULT_QUEUE).get_job_ids()) == (204, [pk])
    assert admin.get("/api/v1/queues").json()[0] == {"name": DEFAULT_QUEUE, "waiting": 1, "running": 0, "failed": 0}


def test_api_forgets_a_failed_job_once(admin):
    pk = fail_one()

    assert [admin.delete(f"/api/v1/failed-jobs/{pk}").status_code for _ in range(2)] == [204, 404]
    assert admin.delete(f"/api/v1/failed-jobs/{36 * chr(45)}").status_code == 404


def test_token_that_may_only_look_sends_no_job_again(client):
    admin = UserFactory(role="Admin")
    headers = token_header(token_for(admin, scopes=["read"])[1])

    assert client.get("/api/v1/failed-jobs", headers=headers).status_code == 200
    assert client.post(f"/api/v1/failed-jobs/{uuid.uuid4()}/retry", headers=headers).status_code == 403


def test_api_says_that_redis_is_away(admin, monkeypatch):
    def gone() -> None:
        raise RedisGone("connection refused")

    monkeypatch.setattr(queues, "_queues", gone)

    assert admin.get("/api/v1/queues").status_code == 503
