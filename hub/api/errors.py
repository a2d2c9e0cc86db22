"""One shape for every error of the API: problem details (RFC 9457) with a stable code, fields and the request id."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from hub import context
from hub.exceptions import HubError

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
Fields = dict[str, list[str]]


@dataclass(frozen=True)
class Problem:
    """What went wrong, for programs (`code`, `fields`) and for people (`detail`)."""

    status: int
    code: str
    detail: str
    fields: Fields = field(default_factory=dict)
    retry_after: int = 0

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    @classmethod
    def of(cls, error: HubError) -> Problem:
        fields = {error.field: [error.message]} if error.field else {}
        return cls(error.status, error.code, error.message, fields, getattr(error, "retry_after", 0))

    def as_dict(self) -> dict[str, Any]:
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "fields": self.fields,
            "request_id": context.current().request_id,
        }

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}


NOT_FOUND = Problem(404, "not_found", "There is no such object, or none that you may see.")
DATABASE_AWAY = Problem(503, "unavailable", "The database does not answer right now. Try again.", retry_after=5)


def problem_response(problem: Problem) -> HttpResponse:
    """The problem as an answer outside DRF: middleware, 404 and 500 handlers."""
    return JsonResponse(problem.as_dict(), status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers())


def exception_handler(error: Exception, handler_context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into a problem; None (Django's 500 with a logged traceback) for what nobody foresaw."""
    problem = foreseen(error) or _of_framework(error)
    if problem is None:
        return None
    set_rollback()
    headers = problem.headers()
    if scheme := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = scheme
    return Response(problem.as_dict(), status=problem.status, headers=headers, content_type=CONTENT_TYPE)


def foreseen(error: Exception) -> Problem | None:
    """The problem behind an error of ours or of the database; None for the others."""
    match error:
        case HubError():
            return Problem.of(error)
        case IntegrityError():
            logger.warning("the database refused a change: %s", error)
            return Problem(409, "conflict", "This contradicts something that is already stored.")
        case DataError():
            return Problem(400, "invalid", "The input holds something that cannot be stored or compared.")
        case OperationalError() | InterfaceError():
            logger.error("the database failed: %s", error)
            return DATABASE_AWAY
    return None


def _of_framework(error: Exception) -> Problem | None:
    match error:
        case Http404():
            return NOT_FOUND
        case PermissionDenied():
            return Problem(403, "not_allowed", "You may not do this.")
        case ValidationError():
            return _invalid(error.message_dict if hasattr(error, "error_dict") else error.messages)
        case drf.ValidationError():
            return _invalid(error.detail)
        case drf.Throttled():
            return Problem(
                429, "too_many_requests", "Asked too often.", retry_after=math.ceil(getattr(error, "wait", None) or 1)
            )
        case drf.APIException():
            return Problem(error.status_code, _code(error), str(error.detail))
    return None


def _invalid(detail: Any) -> Problem:
    fields = _flat(detail)
    general = fields.pop("", []) + fields.pop(api_settings.NON_FIELD_ERRORS_KEY, [])
    first = next(iter(fields), "")
    sentence = " ".join(general) or f"{first}: {fields[first][0]}" if general or fields else "The input is not valid."
    return Problem(400, "invalid", sentence, fields)


def _flat(detail: Any, prefix: str = "") -> Fields:
    """Errors of nested serializers under dotted names: `variables.0.name`."""
    if isinstance(detail, Mapping):
        pairs: list[tuple[str, Any]] = [(str(key), value) for key, value in detail.items()]
    elif isinstance(detail, list | tuple) and any(isinstance(item, Mapping | list) for item in detail):
        pairs = [(str(number), value) for number, value in enumerate(detail) if value]
    else:
        return {prefix: [str(item) for item in (detail if isinstance(detail, list | tuple) else [detail])]}
    flat: Fields = {}
    for key, value in pairs:
        name = prefix if key == api_settings.NON_FIELD_ERRORS_KEY else f"{prefix}.{key}".strip(".")
        for inner, messages in _flat(value, name).items():
            flat.setdefault(inner, []).extend(messages)
    return flat


def _code(error: drf.APIException) -> str:
    code = str(error.get_codes())
    return {"permission_denied": "not_allowed", "error": "internal_error"}.get(code, code)
