"""What every page may use."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from . import context


def hub(request: HttpRequest) -> dict[str, object]:
    """The hub's version, and the request id that error pages show."""
    return {"hub_version": settings.VERSION, "request_id": context.current().request_id}
