"""JSON bodies that are not too deep; `hub.hardening` has refused those that are too long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils import json

MOST_DEPTH = 32
TOO_DEEP = f"The JSON is nested more than {MOST_DEPTH} deep."


class LimitedJSONParser(JSONParser):
    """Refuses nesting that no input of ours has."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = stream.read()
        if is_too_deep(body):
            raise ParseError(TOO_DEEP)
        try:
            text = body.decode((parser_context or {}).get("encoding", settings.DEFAULT_CHARSET))
            return json.loads(text, parse_constant=json.strict_constant if self.strict else None)
        except (ValueError, LookupError) as error:
            raise ParseError(f"JSON parse error - {error}") from None


def is_too_deep(body: bytes) -> bool:
    """Whether this JSON is nested so deep that reading it might exhaust the stack."""
    return body.count(b"[") + body.count(b"{") > MOST_DEPTH and _depth(body) > MOST_DEPTH


def _depth(body: bytes) -> int:
    """How deep the brackets outside strings are nested."""
    depth = deepest = 0
    in_string = escaped = False
    for char in body:
        if escaped:
            escaped = False
        elif in_string:
            in_string, escaped = char != 0x22, char == 0x5C
        elif char == 0x22:
            in_string = True
        elif char in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > MOST_DEPTH:
                return deepest
        elif char in b"]}":
            depth -= 1
    return deepest
