"""What PostgreSQL takes as JSON: less than Python's parser lets through."""

from __future__ import annotations

import math
from typing import Any


def check_storable(value: Any) -> None:
    """Raise `ValueError` with a sentence when a JSON value cannot be stored: a zero byte or half a character in a text
    or a name, or a number that is none. Goes as deep as the value does without going deep itself."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                if "\0" in text:
                    raise ValueError("It holds a zero byte.")
                if any("\ud800" <= each <= "\udfff" for each in text):
                    raise ValueError("It holds half a character (a lone surrogate).")
            case float() as number if not math.isfinite(number):
                raise ValueError("It holds a number that is none.")
            case dict() as inner:
                left += [*inner.keys(), *inner.values()]
            case list() as inner:
                left += inner
