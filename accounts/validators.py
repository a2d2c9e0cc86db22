"""Checks of single values, shared by models, serializers and services."""

from __future__ import annotations

import ipaddress
import zoneinfo
from functools import cache

from django.core.exceptions import ValidationError

from .scopes import is_scope


@cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def validate_timezone(name: str) -> None:
    if name not in _timezones():
        raise ValidationError("%(name)s is not a time zone.", params={"name": name}, code="invalid")


def validate_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValidationError("Not a network: %(error)s.", params={"error": error}, code="invalid") from None


def validate_scope(text: str) -> None:
    if not is_scope(text):
        raise ValidationError("%(scope)s is not a scope.", params={"scope": text}, code="invalid")
