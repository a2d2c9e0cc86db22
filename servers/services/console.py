"""Send a command to the console of a server. The node's agent carries it out, the asker waits a moment for the answer.

A command is sent once or never: an agent that comes too late finds it given up, and nothing is ever sent again, because
nobody can know whether the server ran it.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.cache import cache
from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.actors import System
from hub import jobs
from hub.exceptions import Conflict, HubError, Invalid, TooMany, Unavailable
from hub.nodes.choices import OperationStatus
from servers import consoles, launching
from servers.models import ConsoleCommand, GameServer
from servers.querysets import BEGIN_SECONDS, FINISH_SECONDS

from . import state

if TYPE_CHECKING:
    from accounts.actors import Asker

LONGEST_COMMAND = 1000
MAX_OPEN = 4
PER_MINUTE, MINUTE = 30, 60
PAUSE_SECONDS = 0.05
WAIT_SECONDS = BEGIN_SECONDS + FINISH_SECONDS + 1
KEPT = timedelta(days=1)
LATEST = 50
PLAIN_WORD = re.compile(r"/?[a-z][a-z_-]{0,23}")
UNSENDABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
CONFLICTS = frozenset({"not_running", "password_refused"})


@dataclass(frozen=True)
class Exchange:
    """A command and its answer to be read, without the server's secrets."""

    command: ConsoleCommand
    secrets: Sequence[str]

    @property
    def said(self) -> str:
        return consoles.mask(self.command.text.reveal(), self.secrets)

    @property
    def answer(self) -> str:
        return self.command.answer.reveal()


def send_command(server: GameServer, text: str, *, actor: Asker) -> ConsoleCommand:
    """Ask the server's agent to send one line to its console; `await_answer` waits for what comes back.

    The audit trail holds the command's first word where that is a plain one: the rest may be somebody's password.
    """
    state.may(actor, "send_command", server)
    text = _clean(text)
    with transaction.atomic():
        locked = state.lock(server)
        state.check(locked, "send_command")
        _check_rate(locked, actor)
        kind = locked.template.console_kind
        command = ConsoleCommand.objects.create(server=locked, actor_name=str(actor), kind=kind, text=text)
        word = text.split()[0]
        audit.record(actor, "server.command_sent", locked, kind=kind, word=word if PLAIN_WORD.fullmatch(word) else "")
        jobs.enqueue("servers.jobs.run_command", str(command.pk), queue=jobs.node_queue(locked.node.name))
    return command


def await_answer(command: ConsoleCommand, *, seconds: float = WAIT_SECONDS) -> ConsoleCommand:
    """Wait until it is answered, given up, or the seconds are over. Never within a transaction: nobody would see it."""
    deadline = time.monotonic() + seconds
    while True:
        ConsoleCommand.objects.filter(pk=command.pk).give_up()
        command.refresh_from_db()
        if not command.is_open or time.monotonic() >= deadline:
            return command
        time.sleep(PAUSE_SECONDS)


def problem(command: ConsoleCommand) -> HubError | None:
    """Why there is no answer, as an error for whoever asked."""
    if command.status == OperationStatus.DONE:
        return None
    if command.is_open:
        return Unavailable("There is no answer yet.", code="agent_silent")
    kind = Conflict if command.error_code in CONFLICTS else Unavailable
    return kind(command.error, code=command.error_code)


def latest_commands(server: GameServer, *, actor: Asker) -> list[Exchange]:
    """What was sent in the last day, by whomever, oldest first."""
    state.may(actor, "send_command", server)
    commands = ConsoleCommand.objects.filter(server=server)
    commands.give_up()
    secrets = launching.secrets_of(server)
    return [Exchange(command, secrets) for command in reversed(commands[:LATEST])]


def carry_out(pk: uuid.UUID) -> None:
    """Send a command and store the answer: what the agent's worker does."""
    consoles.carry_out(ConsoleCommand.objects.all(), pk)


def forget_commands() -> None:
    """Delete what is a day old."""
    ConsoleCommand.objects.filter(created_at__lt=Now() - KEPT).delete()


def _clean(text: str) -> str:
    """One line that every console takes."""
    text = text.strip(" ")
    if not text:
        raise Invalid("Say what the server is to do.", field="text")
    if UNSENDABLE.search(text):
        raise Invalid("A command is one line without control characters.", field="text")
    if len(text.encode(errors="replace")) > LONGEST_COMMAND:
        raise Invalid(f"A command may have {LONGEST_COMMAND} bytes.", field="text")
    return text


def _check_rate(server: GameServer, actor: Asker) -> None:
    """A few at a time for each server, so many a minute for each person. The server's row is locked."""
    commands = ConsoleCommand.objects.filter(server=server)
    commands.give_up()
    if commands.open().count() >= MAX_OPEN:
        raise TooMany("The server has not answered the commands before this one.", retry_after=1)
    if isinstance(actor, System):
        return
    window, passed = divmod(int(time.time()), MINUTE)
    who = getattr(actor, "pk", None)
    number = cache.count(f"console:{who}:{window}", seconds=2 * MINUTE)  # type: ignore[attr-defined]  # ours
    if number > PER_MINUTE:
        raise TooMany(f"At most {PER_MINUTE} commands can be sent in a minute.", retry_after=MINUTE - passed)
