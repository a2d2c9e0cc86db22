"""`manage.py backup`: copy the database server now, or dump the database."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.backups import base, dumps, files, offsite, programs
from hub.backups.store import open_store
from hub.exceptions import HubError


class Command(BaseCommand):
    """Make one more backup beside those that are made by themselves."""

    help = "Make a base backup (full or incremental, what is due), or a dump where the server may not be copied."

    def add_arguments(self, parser: CommandParser) -> None:
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--full", action="store_const", dest="kind", const="full", help="Begin a new chain.")
        kind.add_argument("--incremental", action="store_const", dest="kind", const="incremental", help="Only changes.")
        kind.add_argument("--dump", action="store_const", dest="kind", const="dump", help="Dump the database as SQL.")
        kind.add_argument("--files", action="store_const", dest="kind", const="files", help="Files and keys only.")
        kind.add_argument("--send", action="store_const", dest="kind", const="send", help="Send all to the store now.")
        kind.add_argument("--list", action="store_true", help="List all backups instead, as `backups` does.")

    def handle(self, *args: Any, kind: Any = None, **options: Any) -> None:
        if options["list"]:
            call_command("backups", stdout=self.stdout)
            return
        try:
            if kind == "send":
                open_store()  # says so when there is none
                offsite.run_send_backups()
                offsite.run_send_wal()
                self.stdout.write(f"All backups are in {settings.HUB_BACKUP_STORE}.")
                return
            if kind == "dump" or (kind is None and not programs.may_replicate()):
                path = dumps.create_backup()
            elif kind == "files":
                path = files.take_snapshot().path
            else:
                path = base.create_base(kind).path
        except HubError as error:
            raise CommandError(error.message) from error
        self.stdout.write(str(path))
