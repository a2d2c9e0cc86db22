"""`manage.py audit_retain --days N`: move old audit entries into a file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actors import SYSTEM
from accounts.audit_retention import retain
from hub.exceptions import HubError


class Command(BaseCommand):
    """Export and delete old audit entries."""

    help = "Export audit entries older than so many days into the data directory, then delete them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, required=True, help="how long entries stay in the database")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            path, count = retain(days=options["days"], actor=SYSTEM)
        except HubError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"{count} entries moved to {path}" if path else "Nothing is that old.")
