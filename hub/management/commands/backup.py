"""`manage.py backup`: dump the database now, or list the dumps there are."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.backups import create_backup, list_backups
from hub.exceptions import HubError


class Command(BaseCommand):
    """Make a dump beside the nightly ones."""

    help = "Dump the database into the data directory (a nightly dump is made by itself)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--list", action="store_true", help="List the dumps instead, newest first.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            for backup in list_backups():
                self.stdout.write(f"{backup.created_at:%Y-%m-%d %H:%M:%S} UTC  {backup.size_bytes:>12}  {backup.path}")
            return
        try:
            self.stdout.write(str(create_backup()))
        except HubError as error:
            raise CommandError(error.message) from error
