"""Who is asking, for audit rows and log lines: request id, remote address and door of the request or job at hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Context:
    """Facts about the request or job being worked on."""

    request_id: str = ""
    ip: str | None = None
    via: str = "system"  # web, api, admin, command, job, system
    job_id: str = ""
    user: str = ""


NOBODY = Context()
_current: ContextVar[Context] = ContextVar("hub_context", default=NOBODY)


def current() -> Context:
    """The context of this thread's work."""
    return _current.get()


def new_request_id() -> str:
    return uuid.uuid4().hex


@contextmanager
def use(context: Context) -> Iterator[Context]:
    """Set the context for a block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def amend(**changes: str | None) -> None:
    """Change facts that become known on the way, such as the user after authentication."""
    _current.set(replace(_current.get(), **changes))  # type: ignore[arg-type]  # names are those of Context
