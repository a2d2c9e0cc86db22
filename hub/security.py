"""Suspicious activity: one log stream and one counter for failed logins, refused requests and exceeded rates."""

from __future__ import annotations

import logging

from django.http import HttpRequest

from . import context
from .metering import security_events

logger = logging.getLogger("hub.security")

KINDS = {401: "bad_credentials", 403: "denied", 429: "rate_limited"}


def note(kind: str, *, path: str = "", status: int = 0) -> None:
    """Log and count something that an attacker would cause; the formatter adds who and which request."""
    security_events.labels(kind).inc()
    facts = {"kind": kind, "path": path, "status": status, "ip": context.current().ip or ""}
    logger.warning("%s from %s %s", kind, facts["ip"] or "nowhere", path, extra=facts)


def note_answer(request: HttpRequest, status: int, path: str) -> None:
    """Note a refusal. Who only has not logged in yet is not suspicious: a 401 counts when credentials came along."""
    kind = KINDS.get(status)
    if kind and (status != 401 or "Authorization" in request.headers):
        note(kind, path=path, status=status)
