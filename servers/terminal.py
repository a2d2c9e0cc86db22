"""What `manage.py server` needs besides services: finding a server by what people type, tables, following a wish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hub.exceptions import Conflict, HubError, Invalid, NotFound, Unavailable
from hub.nodes.choices import SETTLED, OperationStatus
from hub.nodes.models import Operation

from .models import GameServer

if TYPE_CHECKING:
    from accounts.actors import Asker

PAUSE_SECONDS = 0.2
LEAST_ID = 4
SHOWN_IF_AMBIGUOUS = 5


def find_server(text: str, *, actor: Asker) -> GameServer:
    """The one server that this name, `owner/name`, id or beginning of an id means; an exact name comes first."""
    servers = GameServer.objects.visible_to(actor).alive().with_details()
    owner, slash, name = text.rpartition("/")
    named = servers.filter(name__iexact=name, **({"owner__username__iexact": owner} if slash else {}))
    found = list(named[: SHOWN_IF_AMBIGUOUS + 1])
    if not found and len(text) >= LEAST_ID and set(text.lower()) <= set("0123456789abcdef-"):
        found = list(servers.filter(id__startswith=text.lower())[: SHOWN_IF_AMBIGUOUS + 1])
    if not found:
        raise NotFound(f"There is no server {text}.")
    if len(found) > 1:
        some = ", ".join(f"{server.owner.username}/{server.name} ({server.pk})" for server in found)
        raise Invalid(f"{text} may be any of {some}.")
    return found[0]


def follow(
    server: GameServer, operation: Operation | None, *, timeout: float, say: Callable[[str], None]
) -> GameServer:
    """Wait for what was asked to be done and the server to come to rest, saying each step.

    Raises Conflict when it ends badly, Unavailable when time is up.
    """
    deadline = time.monotonic() + timeout
    said = ""
    while True:
        server.refresh_from_db()
        if operation is not None:
            operation.refresh_from_db()
        step = _step(server)
        if step != said:
            say(f"{server.name}: {step}")
            said = step
        if error := _bad_end(server, operation):
            raise error
        if _is_at_rest(server, operation):
            return server
        if time.monotonic() > deadline:
            raise Unavailable(f"{server.name} is still {step} after {timeout:g} s.", code="timeout")
        time.sleep(PAUSE_SECONDS)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns as wide as what is in them."""
    lines = [list(heads), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text) or "-"


def _step(server: GameServer) -> str:
    percent = f" {server.progress_percent} %" if server.progress_percent is not None else ""
    reason = f" ({server.status_reason})" if server.status_reason else ""
    return f"{server.get_observed_status_display().lower()}{percent}{reason}"


def _bad_end(server: GameServer, operation: Operation | None) -> HubError | None:
    if operation is not None and operation.status == OperationStatus.FAILED:
        return Conflict(f"{server.name}: {operation.error or server.status_reason}", code="failed")
    if operation is not None and operation.status == OperationStatus.SUPERSEDED:
        return Conflict(f"{server.name}: {operation.error}", code="superseded")
    return None


def _is_at_rest(server: GameServer, operation: Operation | None) -> bool:
    is_done = operation is None or operation.status == OperationStatus.DONE
    return is_done and server.observed_status in SETTLED
