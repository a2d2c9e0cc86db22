"""The helpers of the tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from hub import jobs
from hub.testing import (
    api_client,
    assert_constant_queries,
    count_queries,
    empty_queues,
    run_commit_hooks,
    run_jobs,
    wait_until,
)

pytestmark = pytest.mark.django_db

SEEN: list[str] = []


def note(word: str) -> None:
    SEEN.append(word)


def note_and_go_on(word: str) -> None:
    SEEN.append(word)
    jobs.enqueue("hub.tests.test_testing.note", "follows")


def test_wait_until_returns_what_came_true() -> None:
    answers = iter([0, "", 7])

    assert wait_until(lambda: next(answers)) == 7


def test_wait_until_says_what_did_not_come_true() -> None:
    began = time.monotonic()

    with pytest.raises(AssertionError, match=r"the server did not come true within 0\.1 s"):
        wait_until(lambda: False, 0.1, what="the server")

    assert time.monotonic() - began < 1


def test_commit_hooks_run_with_what_they_add() -> None:
    SEEN.clear()
    transaction.on_commit(lambda: transaction.on_commit(lambda: SEEN.append("inner")))

    run_commit_hooks()

    assert SEEN == ["inner"]


def test_jobs_run_with_what_they_send() -> None:
    SEEN.clear()
    empty_queues()
    jobs.enqueue("hub.tests.test_testing.note_and_go_on", "first")
    jobs.enqueue("hub.tests.test_testing.note", "elsewhere", queue="node:far")

    ran = run_jobs()

    assert SEEN == ["first", "follows"]
    assert len(ran) == 2
    assert run_jobs("node:far") == ["hub.tests.test_testing.note('elsewhere',)"]


@pytest.mark.urls("hub.tests.urls")
def test_client_speaks_as_somebody(person: Callable[..., Any]) -> None:
    assert api_client(person("ada")).get("/test/whose").content == b"ada"
    assert api_client().get("/test/whose").content == b"AnonymousUser"
    assert api_client("hub_unknown").get("/api/v1/users").status_code == 401


def test_queries_are_counted(person: Callable[..., Any]) -> None:
    users = get_user_model().objects

    assert count_queries(lambda: list(users.all())) == 1
    assert_constant_queries(lambda: list(users.all()), lambda: person("ada"))
    with pytest.raises(AssertionError, match="became"):
        assert_constant_queries(
            lambda: [users.get(pk=key) for key in users.values_list("pk", flat=True)], lambda: person("bob")
        )


def test_tests_of_the_browser_come_last(request: pytest.FixtureRequest) -> None:
    items = [pytest.Function.from_parent(request.node.parent, name=f"t{n}", callobj=lambda: None) for n in range(3)]
    items[0].add_marker("browser")

    request.config.hook.pytest_collection_modifyitems(session=request.session, config=request.config, items=items)

    assert [item.name for item in items] == ["t1", "t2", "t0"]
