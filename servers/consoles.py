"""Talk to the console of a running server: by RCON or econ, which answer, or by a line on its standard input.

This is the agent's part; web processes never come here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hub.engines.base import Engine, EngineError, Observation, Reason
from hub.failpoints import declare, failpoint
from hub.nodes.choices import DesiredStatus, OperationStatus
from hub.nodes.engines import engine_for

from . import launching, logs
from .choices import ConsoleKind
from .protocols import AuthenticationFailed, InvalidRequest, ProtocolError, TimedOut, Unreachable
from .protocols.status import clean_text
from .remote import remote_console

if TYPE_CHECKING:
    from hub.nodes.models import Node

    from .models import GameServer
    from .querysets import ConsoleCommandQuerySet

declare("console.after_claim", "console.before_send", "console.after_send")

TIMEOUT_SECONDS = 2.5
"""For the log-in and for the command each; both together end well before the asker gives up."""
LISTEN_SECONDS, QUIET_SECONDS, PAUSE_SECONDS = 1.5, 0.4, 0.1
LISTEN_LINES = 500
MAX_ANSWER_CHARACTERS = 16_000
MASK = "***"
LEFT_TO_QUEUE_SECONDS = 1.0


class ConsoleError(Exception):
    """Why there is no answer: a code that is stable for programs, and a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def carry_out(commands: ConsoleCommandQuerySet, pk: uuid.UUID, *, engine: Engine | None = None) -> None:
    """Send a command that nobody has begun, and store what came of it."""
    command = commands.claim(pk)
    failpoint("console.after_claim")
    if command is None:
        return
    server = command.server
    try:
        failpoint("console.before_send")
        answer = ask(server, engine, command.text.reveal(), kind=command.kind)
        failpoint("console.after_send")
    except ConsoleError as error:
        sentence = mask(str(error), launching.secrets_of(server))[:300]
        commands.finish(pk, status=OperationStatus.FAILED, error_code=error.code, error=sentence)
    except Exception:
        words = "The agent stumbled over it; its log says where."
        commands.finish(pk, status=OperationStatus.FAILED, error_code="internal", error=words)
        raise
    else:
        kept = answer[:MAX_ANSWER_CHARACTERS]
        commands.finish(pk, status=OperationStatus.DONE, answer=kept, is_cut=len(answer) > len(kept))


def take_up(commands: ConsoleCommandQuerySet, node: Node, engine: Engine) -> None:
    """Send one command that no worker has begun in time: Redis is away, or all workers are busy."""
    waiting = commands.waiting(seconds=LEFT_TO_QUEUE_SECONDS).filter(server__node=node)
    pk = waiting.order_by("created_at").values_list("pk", flat=True).first()
    if pk is not None:
        carry_out(commands, pk, engine=engine)


def ask(server: GameServer, engine: Engine | None, text: str, *, kind: str) -> str:
    """Send one line and return what the server says to it, secrets masked. Raises ConsoleError."""
    try:
        engine = engine or engine_for(server.node)
        seen = engine.inspect(server.engine_name)
        if seen is None or not seen.is_running or server.desired_status != DesiredStatus.RUNNING:
            raise ConsoleError("not_running", "The server does not run.")
        if kind == ConsoleKind.STDIN:
            answer = _by_input(server, engine, text)
        else:
            answer = _by_remote_console(server, engine, seen, text, kind)
    except EngineError as error:
        code = "not_running" if error.reason == Reason.NOT_RUNNING else "engine"
        raise ConsoleError(code, str(error)) from error
    except ProtocolError as error:
        raise ConsoleError(_code(error), _sentence(error)) from error
    return mask(clean_text(answer), launching.secrets_of(server))


def mask(text: str, secrets: Sequence[str]) -> str:
    """The text without the secrets; the longest first, as one may be part of another."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _by_remote_console(server: GameServer, engine: Engine, seen: Observation, text: str, kind: str) -> str:
    with remote_console(server, engine, seen, kind, timeout=TIMEOUT_SECONDS) as console:
        try:
            return console.command(text)
        except Unreachable:
            sentence = "The server closed its console before it answered, as it does when a command ends it."
            raise ConsoleError("closed", sentence) from None


def _by_input(server: GameServer, engine: Engine, text: str) -> str:
    """Standard input has no answer: what the server prints in the next moment is the best there is."""
    name = server.engine_name
    cursor = logs.end_of(engine, name)
    engine.send_input(name, text)
    heard: list[str] = []
    end = time.monotonic() + LISTEN_SECONDS
    quiet_until = end
    while time.monotonic() < min(end, quiet_until):
        time.sleep(PAUSE_SECONDS)
        chunk = engine.logs(name, tail=LISTEN_LINES, cursor=cursor)
        if chunk.lines:
            heard += chunk.lines
            cursor = chunk.cursor
            quiet_until = time.monotonic() + QUIET_SECONDS
        if len(heard) >= LISTEN_LINES:
            break
    return "\n".join(heard)


def _code(error: ProtocolError) -> str:
    if isinstance(error, AuthenticationFailed):
        return "password_refused"
    if isinstance(error, TimedOut):
        return "no_answer"
    if isinstance(error, Unreachable):
        return "unreachable"
    return "invalid" if isinstance(error, InvalidRequest) else "malformed"


def _sentence(error: ProtocolError) -> str:
    if isinstance(error, AuthenticationFailed):
        return "The server refused the hub's password for its console. Restart it if its passwords are new."
    return str(error)
