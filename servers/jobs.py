"""What workers and the scheduler run for servers."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db.models.functions import Now

from . import services
from .models import GameServer, ServerLog

KEPT = timedelta(days=1)


def forget_secrets_of_deleted() -> None:
    """Wipe passwords, settings and output of servers deleted a day ago; the row stays as history."""
    gone = GameServer.objects.filter(deleted_at__lt=Now() - KEPT)
    ServerLog.objects.filter(server__in=gone).delete()
    gone.exclude(rcon_password="").update(rcon_password="", running_rcon_password="", secret_values="", values={})


def follow_trials() -> None:
    """See what became of the trial starts of templates, and remove their servers."""
    services.follow_trials()


def run_command(pk: str) -> None:
    """Send one command to a server's console and store the answer."""
    services.carry_out(uuid.UUID(pk))


def forget_commands() -> None:
    """Delete the commands and answers of consoles after a day."""
    services.forget_commands()
