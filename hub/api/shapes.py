"""Serializers kept from request to request: making one, with its fields, costs more than all it does for one object.

A serializer that only turns an object into data, or checks input without an instance, has no state but its context. So
each thread keeps one of each class. Not for lists, nor where a request chooses its fields.
"""

from __future__ import annotations

import threading
from typing import Any

from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer, Serializer


class _Kept(threading.local):
    """Those of one thread."""

    def __init__(self) -> None:
        self.serializers: dict[type[BaseSerializer[Any]], BaseSerializer[Any]] = {}


_kept = _Kept()


def show(kind: type[BaseSerializer[Any]], row: Any, request: Request) -> Any:
    """What `kind(row).data` says."""
    serializer = _one(kind)
    serializer._context = {"request": request}
    try:
        return serializer.to_representation(row)
    finally:
        serializer._context = {}


def parse(kind: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    """The validated input. Raises DRF's ValidationError, as `is_valid(raise_exception=True)` does."""
    values: dict[str, Any] = _one(kind).run_validation(request.data)
    return values


def _one(kind: type[BaseSerializer[Any]]) -> BaseSerializer[Any]:
    if kind not in _kept.serializers:
        _kept.serializers[kind] = kind()
    return _kept.serializers[kind]
