"""One shape for every error of the API."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from rest_framework import exceptions as drf

from hub.api.errors import exception_handler
from hub.testing import api_client

pytestmark = [pytest.mark.django_db, pytest.mark.urls("hub.tests.urls")]

KEYS = {"type", "title", "status", "code", "detail", "fields", "request_id"}


def get(name: str) -> Any:
    client = api_client()
    client.raise_request_exception = False
    return client.get(f"/api/test/fail/{name}")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("invalid", 400, "invalid"),
        ("conflict", 409, "server_running"),
        ("too-many", 429, "too_many_requests"),
        ("missing", 404, "not_found"),
        ("integrity", 409, "conflict"),
        ("database", 503, "unavailable"),
        ("throttled", 429, "too_many_requests"),
        ("bug", 500, "internal_error"),
    ],
)
def test_every_error_has_the_same_shape(name: str, status: int, code: str) -> None:
    response = get(name)

    body = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert set(body) == KEYS
    assert (response.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["request_id"] == response["X-Request-ID"]


@pytest.mark.parametrize("name", ["missing", "integrity", "database", "bug"])
def test_no_internals_in_the_answer(name: str) -> None:
    assert not any(word in get(name).content.decode() for word in ("secret", "10.0.0.5", "constraint", "Traceback"))


def test_refusal_by_the_database_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hub.api.errors"):
        get("integrity")

    assert "secret_name" in caplog.text


def test_field_at_fault_is_named() -> None:
    assert get("invalid").json()["fields"] == {"name": ["Too long."]}


@pytest.mark.parametrize(("name", "seconds"), [("too-many", "30"), ("throttled", "8"), ("database", "5")])
def test_retry_after_is_told(name: str, seconds: str) -> None:
    assert get(name)["Retry-After"] == seconds


def test_fields_of_nested_input_have_dotted_names() -> None:
    order = {"title": "x", "items": [{"name": "fine"}, {"name": "much too long", "size": 0}]}

    body = api_client().post("/api/test/orders", order).json()

    assert set(body["fields"]) == {"items.1.name", "items.1.size"}
    assert body["detail"].startswith("items.1.name: ")


def test_error_of_no_field_is_the_detail() -> None:
    body = api_client().post("/api/test/orders", {"title": "nothing", "items": []}).json()

    assert (body["detail"], body["fields"]) == ("Order something.", {})


@pytest.mark.parametrize("body", ["{broken", '"text"', "[1]", "null", "\x00"])
def test_input_that_is_no_object_is_a_400(body: str) -> None:
    response = api_client().generic("POST", "/api/test/orders", body, content_type="application/json")

    assert (response.status_code, set(response.json())) == (400, KEYS)


def test_other_media_types_are_refused() -> None:
    response = api_client().generic("POST", "/api/test/orders", "a=b", content_type="text/plain")

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_wrong_method_is_a_problem() -> None:
    assert api_client().delete("/api/test/orders").json()["code"] == "method_not_allowed"


def test_nobody_gets_a_challenge() -> None:
    response = api_client().get("/api/v1/users")

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("error", "status", "fields"),
    [
        (ValidationError({"name": ["No."]}), 400, {"name": ["No."]}),
        (ValidationError("No."), 400, {}),
        (drf.ValidationError(["No."]), 400, {}),
        (drf.ValidationError("No."), 400, {}),
        (PermissionDenied("why"), 403, {}),
        (drf.PermissionDenied(), 403, {}),
        (drf.NotAcceptable(), 406, {}),
    ],
)
def test_errors_of_django_and_of_the_framework(error: Exception, status: int, fields: dict[str, list[str]]) -> None:
    response = exception_handler(error, {})

    assert response is not None
    assert (response.status_code, response.data["fields"]) == (status, fields)
    assert response.data["detail"]


def test_what_nobody_foresaw_is_left_to_django() -> None:
    assert exception_handler(RuntimeError("bug"), {}) is None
