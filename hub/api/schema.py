"""The OpenAPI document tells the truth about errors: every operation lists the problems it can answer with."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.settings import spectacular_settings

from .errors import CONTENT_TYPE, Problem, problem_response

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "example": "Conflict"},
        "status": {"type": "integer", "example": 409},
        "code": {"type": "string", "description": "Stable, for programs.", "example": "limit_reached"},
        "detail": {"type": "string", "description": "One sentence for people."},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "Messages for each input at fault; inner ones as `variables.0.name`.",
        },
        "request_id": {"type": "string", "description": "The same as in the header X-Request-ID and in the log."},
    },
    "required": ["type", "title", "status", "code", "detail", "fields", "request_id"],
}
ANSWERS = {
    400: (
        "BadRequest",
        "The input is wrong; `fields` says where.",
        "invalid",
        "memory_mb: A valid integer is required.",
    ),
    401: ("Unauthorized", "No token or session, or one that is not valid.", "authentication_failed", "Invalid token."),
    403: ("Forbidden", "Not allowed.", "not_allowed", "You are not allowed to do this."),
    404: (
        "NotFound",
        "No such object, or none that the asker may see.",
        "not_found",
        "There is no such object, or none that you may see.",
    ),
    409: (
        "Conflict",
        "The state of things does not permit this, or a limit is reached.",
        "not_now",
        "It is stopped; start it instead.",
    ),
    412: (
        "PreconditionFailed",
        "Somebody changed it since the If-Match was read.",
        "changed_meanwhile",
        "It was changed after you read it. Read it again, then decide.",
    ),
    413: (
        "TooLarge",
        f"The body is longer than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE / 2**20} MiB.",
        "too_large",
        "The body is too large.",
    ),
    415: ("UnsupportedMediaType", "The body is not JSON.", "unsupported_media_type", "Unsupported media type."),
    422: (
        "KeyReused",
        "The Idempotency-Key was used with another body.",
        "idempotency_key_reused",
        "This Idempotency-Key was used for a request with another body.",
    ),
    429: ("TooManyRequests", "Asked too often; see Retry-After.", "too_many_requests", "Asked too often."),
    503: ("Unavailable", "Something that is needed does not answer right now.", "unavailable", "Try again."),
}
ERRORS = set(map(str, ANSWERS))
NAMED = {"description": "No response body"}  # what `404: None` in a view becomes
RENDERERS = {"json": OpenApiJsonRenderer, "yaml": OpenApiYamlRenderer}
METHODS = ("get", "post", "put", "patch", "delete")


def add_error_answers(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Document errors where they can occur; drf-spectacular calls this when the document is made."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components["responses"] = {row[0]: _answer(status, *row[1:]) for status, row in ANSWERS.items()}
    for path, operations in result.get("paths", {}).items():
        for method in METHODS:
            if operation := operations.get(method):
                answers = operation["responses"]
                named = {int(status) for status, answer in answers.items() if status in ERRORS and answer == NAMED}
                for status in named:  # a view says that it occurs; what it says is the same everywhere
                    del answers[str(status)]
                for status in sorted({*named, *_possible(path, method, operation)}):
                    answers.setdefault(str(status), {"$ref": f"#/components/responses/{ANSWERS[status][0]}"})
    return result


def _possible(path: str, method: str, operation: dict[str, Any]) -> list[int]:
    parameters = operation.get("parameters", [])
    names = {each["name"] for each in parameters}
    is_open = {} in operation.get("security", [{}])
    changes = method != "get"
    takes_input = "requestBody" in operation or any(each["in"] in ("query", "header") for each in parameters)
    possible = {
        400: takes_input or changes,  # a body that is not JSON is refused where none is wanted too
        401: True,  # a token that is wrong is refused where none is needed too
        403: changes or not is_open,
        404: "{" in path,
        409: changes,
        412: "If-Match" in names,
        413: changes,
        415: changes,
        422: "Idempotency-Key" in names,
        429: True,
        503: True,
    }
    return [status for status, yes in possible.items() if yes]


def _answer(status: int, text: str, code: str, detail: str) -> dict[str, Any]:
    fields = {"memory_mb": ["A valid integer is required."]} if status == 400 else {}
    shown = {**Problem(status, code, detail, fields).as_dict(), "request_id": "4be1f0c2a7d94c0f8f6a1f1f7c2b9d3e"}
    answer: dict[str, Any] = {
        "description": text,
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": shown}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
    return answer


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document as JSON, or with `?format=yaml` as YAML."""
    form = request.GET.get("format", "json")
    if form not in RENDERERS:
        return problem_response(Problem(400, "invalid", "format must be json or yaml.", {"format": ["json or yaml"]}))
    return HttpResponse(rendered_document(form), content_type=RENDERERS[form].media_type)


@cache
def rendered_document(form: str) -> bytes:
    """Made once per process: it takes long and does not change while the program runs."""
    document = spectacular_settings.DEFAULT_GENERATOR_CLASS().get_schema(request=None, public=True)
    rendered = RENDERERS[form]().render(document, renderer_context={})
    return rendered.encode() if isinstance(rendered, str) else rendered
