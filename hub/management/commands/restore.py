"""`manage.py restore`: bring the database back, from base backups and WAL or from a dump."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from hub.backups import base, dumps
from hub.backups.commands import Recovery
from hub.backups.recovery import LATEST, Target
from hub.exceptions import HubError


class Command(Recovery):
    """Restore after asking."""

    help = (
        "Bring the database back: `latest` is everything up to the last change received (without base backups the "
        "newest dump), a name is the state of that backup."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", help="`latest`, or the name of a base backup, or a dump's name or file.")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["backup"]
        try:
            if (name == LATEST and base.bases()) or name in {each.name for each in base.bases()}:
                self.recover(Target(immediate=name != LATEST), name=name, **options)
            else:
                self.restore_dump(name, **options)
        except HubError as error:
            raise CommandError(error.message) from error

    def restore_dump(self, name: str, **options: Any) -> None:
        """Replace the tables by a dump's; the running hub may stay up."""
        path = dumps.find_backup(name)
        self.confirm(f"This replaces everything in the database by {path}.", **options)
        before = dumps.restore_backup(path)
        # A dump of an older version lacks what later migrations brought.
        call_command("migrate", interactive=False, verbosity=0)
        self.stdout.write(f"Restored {path}. What was there before is in {before}.")
