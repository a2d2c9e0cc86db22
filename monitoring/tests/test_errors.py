"""Unhandled errors of requests and jobs: grouped, scrubbed, open again when they come back."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from hub import context, schedule
from hub.jobs import perform
from hub.models import PeriodicRun
from hub.testing import api_client, assert_constant_queries, wait_until
from hub.tests.test_metering import figures, value
from monitoring.errors import store
from monitoring.errors.capture import ErrorHandler, Failure, fingerprint
from monitoring.errors.models import ErrorGroup, ErrorReport

logger = logging.getLogger("monitoring.tests.errors")


def fail(text: str = "boom") -> None:
    raise ValueError(text)


def fail_elsewhere() -> None:
    raise ValueError("boom")


def failure(**changes: Any) -> Failure:
    values = {
        "fingerprint": "f1",
        "error_type": "ValueError",
        "source": "web",
        "place": "servers/",
        "message": "boom",
        "traceback": "Traceback …",
        "at": datetime.now(UTC),
        "request_id": "r1",
        "job_id": "",
        "user": "ada",
    }
    return Failure(**{**values, **changes})


def group(**changes: Any) -> ErrorGroup:
    store.store([failure(**changes)])
    return ErrorGroup.objects.get(fingerprint=changes.get("fingerprint", "f1"))


@pytest.fixture
def kept(settings: Any) -> None:
    settings.HUB_ERROR_DAYS = 90


def fingerprint_of(call: Any) -> str:
    try:
        call()
    except ValueError as error:
        return fingerprint("ValueError", "web", error.__traceback__)
    raise AssertionError


def test_same_place_is_the_same_group_whatever_the_message() -> None:
    assert fingerprint_of(lambda: fail("one")) == fingerprint_of(lambda: fail("two"))
    assert fingerprint_of(fail) != fingerprint_of(fail_elsewhere)


@pytest.mark.django_db(transaction=True)
def test_failed_request_is_kept_with_its_route_and_request_id(kept: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.health.OK", property())  # cannot become JSON

    answers = [Client(raise_request_exception=False).get("/health/live") for _ in range(2)]
    wait_until(lambda: ErrorReport.objects.count() == 2, what="both errors are stored")

    found = ErrorGroup.objects.get()
    assert (found.error_type, found.source, found.place, found.count) == ("TypeError", "web", "health/live", 2)
    assert {report.request_id for report in found.reports.all()} == {answer["X-Request-ID"] for answer in answers}
    assert "health_live" in found.traceback


@pytest.mark.django_db(transaction=True)
def test_failed_job_is_kept_before_its_process_ends(kept: None) -> None:
    with pytest.raises(ValueError, match="boom"):
        perform("monitoring.tests.test_errors.fail", "request-77")

    found = ErrorGroup.objects.get()
    assert (found.source, found.place, found.count) == ("job", "monitoring.tests.test_errors.fail", 1)
    assert found.reports.get().request_id == "request-77"
    assert value(figures(), "job_errors_total", error_type="ValueError", job=found.place) == 1


@pytest.mark.django_db(transaction=True)
def test_failed_periodic_task_is_kept(kept: None) -> None:
    run = PeriodicRun.objects.create(task="bad", due_at=datetime.now(UTC))

    schedule.run(run.pk, [schedule.Periodic("bad", "monitoring.tests.test_errors.fail")])

    assert ErrorGroup.objects.get().place == "bad"


@pytest.mark.django_db(transaction=True)
def test_error_within_a_broken_transaction_is_kept_all_the_same(kept: None) -> None:
    with transaction.atomic():
        try:
            connection.cursor().execute("SELECT nonsense")
        except DatabaseError:
            logger.exception("in the middle")
        transaction.set_rollback(True)

    assert ErrorGroup.objects.get().error_type == "ProgrammingError"


@pytest.mark.django_db(transaction=True)
def test_secrets_are_not_kept(kept: None) -> None:
    try:
        fail("password=hunter2 postgresql://hub:hunter3@db hub_0123456789abcdef0123")
    except ValueError:
        logger.exception("failed")

    found = ErrorGroup.objects.get()
    for text in (found.message, found.traceback, found.reports.get().message):
        assert not any(secret in text for secret in ("hunter2", "hunter3", "0123456789abcdef"))
    assert "[hidden]" in found.message


@pytest.mark.django_db(transaction=True)
def test_child_of_a_fork_stores_its_own_errors_only(kept: None) -> None:
    handler = ErrorHandler()
    handler.pid = os.getpid() + 1
    handler.waiting.append(failure(fingerprint="of the parent"))

    with context.use(context.Context(via="job")):
        try:
            fail()
        except ValueError as error:
            handler.emit(logging.LogRecord("x", logging.ERROR, "", 1, "m", None, (ValueError, error, None)))

    assert not ErrorGroup.objects.filter(fingerprint="of the parent").exists()
    assert ErrorGroup.objects.count() == 1


def test_store_that_fails_costs_a_warning(
    kept: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("monitoring.errors.store.store", lambda failures: fail())

    try:
        fail()
    except ValueError:
        logger.exception("failed")

    assert "1 errors are in the log only" in caplog.text


def test_switched_off_keeps_nothing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.HUB_ERROR_DAYS = 0
    monkeypatch.setattr("monitoring.errors.store.store", lambda failures: pytest.fail("stored"))

    try:
        fail()
    except ValueError:
        logger.exception("failed")


@pytest.mark.django_db
def test_error_that_comes_back_is_open_again() -> None:
    admin = UserFactory(role="Admin")
    first = group()

    answer = api_client(admin).post(f"/api/v1/errors/{first.pk}/resolve")
    resolved = ErrorGroup.objects.get()
    again = group(message="boom again")

    assert answer.status_code == 200
    assert (resolved.resolved_by, AuditEntry.objects.filter(action="error.resolved").count()) == (admin, 1)
    assert (again.resolved_at, again.count, again.message) == (None, 2, "boom again")


@pytest.mark.django_db
def test_latest_thousand_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "REPORTS_KEPT", 3)

    for number in range(5):
        group(message=str(number))

    assert [report.message for report in ErrorReport.objects.all()] == ["4", "3", "2"]
    assert ErrorGroup.objects.get().count == 5


@pytest.mark.django_db
def test_api_answers_by_class_with_the_latest() -> None:
    group()
    other = group(fingerprint="f2", error_type="KeyError", job_id="j1")
    client = api_client(UserFactory(role="Viewer"))

    listed = client.get("/api/v1/errors", {"error_type": "KeyError"}).json()["results"]
    detail = client.get(f"/api/v1/errors/{other.pk}").json()
    by_request = client.get("/api/v1/errors", {"q": "r1"}).json()["results"]
    resolved = client.get("/api/v1/errors", {"is_resolved": "true"}).json()["results"]

    assert [row["id"] for row in listed] == [other.pk]
    assert (detail["reports"][0]["job_id"], "traceback" in detail) == ("j1", True)
    assert (len(by_request), resolved) == (2, [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("role", "seen", "resolved"), [("Operator", 200, 302), ("Viewer", 200, 403), ("Player", 403, 404)]
)
def test_pages_are_for_those_who_watch(role: str, seen: int, resolved: int) -> None:
    error = group()
    client = Client()
    client.force_login(UserFactory(role=role))

    page = client.get(reverse("monitoring:error_list"))

    assert page.status_code == seen
    assert ("ValueError" in page.text) == (seen == 200)
    assert client.get(error.get_absolute_url()).status_code == (200 if seen == 200 else 404)
    assert client.post(reverse("monitoring:error_resolve", args=[error.pk])).status_code == resolved


@pytest.mark.django_db
def test_list_costs_the_same_with_more_errors() -> None:
    client = Client()
    client.force_login(UserFactory(role="Admin"))
    group()

    assert_constant_queries(
        lambda: client.get(reverse("monitoring:error_list")),
        lambda: [group(fingerprint=f"g{n}") for n in range(4)],
    )


@pytest.mark.django_db
def test_open_groups_are_a_figure() -> None:
    group()

    assert value(figures(), "error_groups_open") == 1
