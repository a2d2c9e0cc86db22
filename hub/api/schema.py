"""The OpenAPI document tells the truth about errors: every operation lists the problems it can answer with."""

from __future__ import annotations

from typing import Any

PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Conflict"]},
        "status": {"type": "integer", "examples": [409]},
        "code": {"type": "string", "description": "Stable, for programs.", "examples": ["limit_reached"]},
        "detail": {"type": "string", "description": "One sentence for people."},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "Messages for each input at fault.",
        },
        "request_id": {"type": "string", "description": "The same as in the header X-Request-ID and in the log."},
    },
    "required": ["type", "title", "status", "code", "detail", "fields", "request_id"],
}


def add_error_answers(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """drf-spectacular postprocessing hook."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    return result
