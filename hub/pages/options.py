"""Choices that one app knows and the form of another needs, such as regions in the profile."""

from __future__ import annotations

from collections.abc import Callable

Choices = list[tuple[str, str]]
_sources: dict[str, Callable[[], Choices]] = {}


def register(name: str, source: Callable[[], Choices]) -> None:
    """Say where the choices of a name come from."""
    _sources[name] = source


def choices(name: str) -> Choices:
    """The choices of a name; none when no app has registered them."""
    return _sources[name]() if name in _sources else []
