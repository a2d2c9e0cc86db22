"""What services raise."""

from __future__ import annotations

import pytest

from hub import exceptions


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.HubError, 400, "error"),
        (exceptions.Invalid, 400, "invalid"),
        (exceptions.NotAllowed, 403, "not_allowed"),
        (exceptions.NotFound, 404, "not_found"),
        (exceptions.Conflict, 409, "conflict"),
        (exceptions.LimitReached, 409, "limit_reached"),
        (exceptions.TooMany, 429, "too_many_requests"),
        (exceptions.Unavailable, 503, "unavailable"),
    ],
)
def test_each_error_has_its_status_and_code(error: type[exceptions.HubError], status: int, code: str) -> None:
    raised = error("No.")

    assert (raised.status, raised.code, raised.message, str(raised)) == (status, code, "No.", "No.")


def test_code_and_field_may_be_told() -> None:
    error = exceptions.Conflict("Taken.", code="name_taken", field="name")

    assert (error.code, error.field, error.status) == ("name_taken", "name", 409)


def test_too_many_says_when_to_come_back() -> None:
    assert exceptions.TooMany("Slow down.", retry_after=30).retry_after == 30
