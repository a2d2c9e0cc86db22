"""`manage.py restore`: put a dump in the place of everything in the database."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.backups.dumps import find_backup, restore_backup
from hub.exceptions import HubError


class Command(BaseCommand):
    """Restore after asking; the running hub may stay up."""

    help = "Replace everything in the database by a dump, in one transaction; what was there is dumped first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", help="A file, the name of a dump in the data directory, or `latest`.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            path = find_backup(options["backup"])
            if not options["yes"]:
                self.stdout.write(f"This replaces everything in the database by {path}.")
                if input("Type yes to go on: ").strip().lower() != "yes":
                    raise CommandError("Nothing was restored.")
            before = restore_backup(path)
        except HubError as error:
            raise CommandError(error.message) from error
        # A dump of an older version lacks what later migrations brought.
        call_command("migrate", interactive=False, verbosity=0)
        self.stdout.write(f"Restored {path}. What was there before is in {before}.")
