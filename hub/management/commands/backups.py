"""`manage.py backups`: what there is to come back from, and how far the WAL reaches."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hub.backups import base, dumps, fetching, files, wal
from hub.backups.place import mib
from hub.backups.sealed import SealedStore
from hub.backups.store import open_store
from hub.exceptions import HubError
from hub.launcher.console import columns

HEAD = ("KIND", "MADE", "AGE", "MiB", "CHAIN", "CHECKED", "WAL UNTIL", "NAME")


class Command(BaseCommand):
    """List base backups, dumps and snapshots of files."""

    help = "List all backups, newest first, and up to when the WAL behind each has been received."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--store", action="store_true", help="List what is in HUB_BACKUP_STORE instead.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["store"]:
            self.list_store()
            return
        snapshots = map(_of_snapshot, files.snapshots())
        rows = [*map(_of_base, base.bases()), *map(_of_dump, dumps.list_backups()), *snapshots]
        if not rows:
            self.stdout.write("There are no backups yet.")
            return
        for line in columns([HEAD, *(row for _, row in sorted(rows, reverse=True))]):
            self.stdout.write(line)

    def list_store(self) -> None:
        try:
            found = fetching.contents(SealedStore(open_store()))
        except HubError as error:
            raise CommandError(error.message) from error
        rows = [(kind, _time(at), _age(at), str(mib(size)), name) for at, kind, size, name in found]
        for line in columns([("KIND", "MADE", "AGE", "MiB", "NAME"), *rows]):
            self.stdout.write(line)


def _of_base(one: base.Base) -> tuple[datetime, tuple[str, ...]]:
    stream = wal.find_stream(one.stream)
    reach = stream.last_write() if stream else None
    chain = "begins it" if one.chain == one.name else one.chain
    until = _time(reach) if reach and reach > one.finished_at else "-"
    row = (one.kind, _time(one.finished_at), _age(one.finished_at), str(mib(one.size_bytes)), chain)
    return one.finished_at, (*row, _time(one.verified_at), until, one.name)


def _of_dump(dump: dumps.Backup) -> tuple[datetime, tuple[str, ...]]:
    row = ("dump", _time(dump.created_at), _age(dump.created_at), str(mib(dump.size_bytes)), "-", "-", "-")
    return dump.created_at, (*row, str(dump.path))


def _of_snapshot(snapshot: files.Snapshot) -> tuple[datetime, tuple[str, ...]]:
    at, keys = snapshot.made_at, "with keys" if snapshot.has_keys else "without keys"
    return at, ("files", _time(at), _age(at), str(mib(snapshot.size_bytes)), keys, "-", "-", snapshot.path.name)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _age(at: datetime) -> str:
    minutes = int((timezone.now() - at).total_seconds()) // 60
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes >= size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"
