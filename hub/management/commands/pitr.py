"""`manage.py pitr TIME`: bring the database back as it was at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from hub.backups.commands import Recovery
from hub.backups.recovery import Target
from hub.exceptions import HubError


class Command(Recovery):
    """Point-in-time recovery after asking."""

    help = "Bring the database back as it was at a time, from the base backup before it and the WAL in between."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("time", nargs="+", help="Such as `2026-11-29 12:34:56`; UTC unless it has an offset.")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            at = datetime.fromisoformat(" ".join(options["time"]))
        except ValueError:
            raise CommandError("The time must look like 2026-11-29 12:34:56, or with an offset …+06:00.") from None
        try:
            self.recover(Target(time=at if at.tzinfo else at.replace(tzinfo=UTC)), **options)
        except HubError as error:
            raise CommandError(error.message) from error
