"""A create request that is sent again creates nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from hub.api import idempotency
from hub.models import IdempotentAnswer, PeriodicRun
from hub.testing import api_client, wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("hub.tests.urls")]

URL = "/api/test/runs"


@pytest.fixture
def ada(person: Callable[..., Any]) -> Any:
    return person("ada")


def post(user: Any, key: str | None, task: str = "a") -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api_client(user).post(URL, {"task": task}, headers=headers)


def test_repetition_gets_the_same_answer_and_creates_nothing(ada: Any) -> None:
    first, second = post(ada, "k1"), post(ada, "k1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert first["Location"] == second["Location"]
    assert "Idempotency-Replayed" not in first
    assert second["Idempotency-Replayed"] == "true"
    assert PeriodicRun.objects.count() == 1


def test_without_a_key_each_request_counts(ada: Any) -> None:
    post(ada, None)
    post(ada, None)

    assert PeriodicRun.objects.count() == 2
    assert not IdempotentAnswer.objects.exists()


def test_same_key_with_another_body_is_refused(ada: Any) -> None:
    post(ada, "k1")

    response = post(ada, "k1", task="b")

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert PeriodicRun.objects.count() == 1


def test_order_of_keys_in_the_body_does_not_matter(ada: Any) -> None:
    client = api_client(ada)
    send = partial(client.generic, "POST", URL, content_type="application/json", headers={"Idempotency-Key": "k1"})
    send(data='{"task": "a", "more": 1}')

    response = send(data='{"more": 1,  "task": "a"}')

    assert response["Idempotency-Replayed"] == "true"


def test_key_of_another_user_is_another_key(ada: Any, person: Callable[..., Any]) -> None:
    post(ada, "k1")

    assert "Idempotency-Replayed" not in post(person("bob"), "k1")
    assert PeriodicRun.objects.count() == 2


def test_refused_request_leaves_nothing_and_may_be_tried_again(ada: Any) -> None:
    assert post(ada, "k1", task="refused").status_code == 409

    assert not PeriodicRun.objects.exists()
    assert post(ada, "k1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "käse", "tab\there"])
def test_strange_key_is_refused(ada: Any, key: str) -> None:
    response = post(ada, key)

    assert (response.status_code, list(response.json()["fields"])) == (400, ["Idempotency-Key"])


def test_repetition_that_comes_too_early_is_told_to_wait(ada: Any) -> None:
    ask = threading.Event()
    let_go = threading.Event()

    def hold() -> None:
        number = _lock_number(ada, "k1")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
            ask.set()
            let_go.wait(60)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert ask.wait(60)
    response = post(ada, "k1")
    let_go.set()
    holder.join()

    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_in_use")
    assert response["Retry-After"] == "1"
    assert post(ada, "k1").status_code == 201


def test_answer_stored_between_look_and_work_wins(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = post(ada, "k1")
    real = idempotency._Ask.look_up
    looks: list[Any] = []

    def blind_once(ask: Any) -> Any:
        looks.append(ask)
        return None if len(looks) == 1 else real(ask)

    monkeypatch.setattr(idempotency._Ask, "look_up", blind_once)
    second = post(ada, "k1")

    assert second.content == first.content
    assert PeriodicRun.objects.count() == 1


def test_many_at_once_create_one(ada: Any) -> None:
    clients = [api_client(ada) for _ in range(8)]
    answers: list[Any] = []
    barrier = threading.Barrier(len(clients))

    def send(client: Any) -> None:
        barrier.wait()
        answers.append(client.post(URL, {"task": "a"}, headers={"Idempotency-Key": "k1"}))
        connections.close_all()

    threads = [threading.Thread(target=send, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert PeriodicRun.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    wait_until(lambda: post(ada, "k1").status_code == 201)


def test_costs_two_queries(ada: Any) -> None:
    client = api_client(ada)
    client.post(URL, {"task": "a"})
    with CaptureQueriesContext(connection) as plain:
        client.post(URL, {"task": "a"})
    with CaptureQueriesContext(connection) as keyed:
        client.post(URL, {"task": "a"}, headers={"Idempotency-Key": "k1"})

    extra = [query["sql"] for query in keyed if "hub_idempotentanswer" in query["sql"]]
    framing = ("BEGIN", "COMMIT")
    counted = [query for query in keyed if query["sql"] not in framing]
    assert len(extra) == 2
    assert len(counted) == len(plain) + 2


def test_body_is_stored_as_a_keyed_digest_only(ada: Any) -> None:
    api_client(ada).post(URL, {"task": "a", "password": "hunter2"}, headers={"Idempotency-Key": "k1"})

    (row,) = IdempotentAnswer.objects.values()
    assert "hunter2" not in str(row)
    assert len(row["digest"]) == 64


def _lock_number(user: Any, key: str) -> int:
    ask = idempotency._Ask.__new__(idempotency._Ask)
    ask.actor, ask.route, ask.key = f"user:{user.pk}", f"POST {URL}", key
    return ask._lock_number()
