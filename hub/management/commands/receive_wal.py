"""`manage.py receive_wal`: keep the database's WAL as it is written."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.backups import wal
from hub.exceptions import HubError


class Command(BaseCommand):
    """Become pg_receivewal; whoever supervises us starts us again when it ends."""

    help = "Receive the write-ahead log into the backup directory until stopped; one receiver per database server."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            wal.exec_receiver()
        except HubError as error:
            raise CommandError(error.message) from error
