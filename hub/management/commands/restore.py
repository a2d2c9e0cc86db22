"""`manage.py restore`: bring the database back, from base backups and WAL or from a dump."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from hub.backups import base, comeback, dumps, fetching, files, offsite
from hub.backups.commands import Recovery
from hub.backups.recovery import LATEST, Target
from hub.backups.sealed import SealedStore
from hub.backups.store import open_store
from hub.exceptions import HubError


class Command(Recovery):
    """Restore after asking."""

    help = (
        "Bring the database back: `latest` is everything up to the last change received (without base backups the "
        "newest dump), a name is the state of that backup, `files` the newest snapshot of files and keys."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("backup", help="`latest`, `files`, or a name that `backups` shows, or a dump's file.")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["backup"]
        try:
            if options["store"]:
                self.restore_from_store(name, **options)
            elif (name == LATEST and base.bases()) or name in {each.name for each in base.bases()}:
                self.recover(Target(immediate=name != LATEST), name=name, **options)
            elif name == "files" or name in {each.path.name for each in files.snapshots()}:
                self.restore_files(name, **options)
            else:
                self.restore_dump(name, **options)
        except HubError as error:
            raise CommandError(error.message) from error

    def restore_from_store(self, name: str, **options: Any) -> None:
        """The same, fetched first."""
        store = SealedStore(open_store())
        stored = {each.name for each in offsite.stored_bases(store)}
        if (name == LATEST and stored) or name in stored:
            self.recover(Target(immediate=name != LATEST), name=name, **options)
        elif name == "files" or name in offsite.stored_snapshots(store.store.names("files/")):
            self.restore_files(fetching.bring_snapshot(store, self.step, name).path.name, **options)
        else:
            self.restore_dump(str(fetching.bring_dump(store, name)), **options)

    def restore_files(self, name: str, **options: Any) -> None:
        """Put bundles, files of challenges, workloads' data and the keys back."""
        found = next((each for each in files.snapshots() if each.path.name == name), None) or files.find_snapshot()
        self.confirm(
            f"This replaces {', '.join(files.KEPT)} and the keys by those of {found.made_at:%Y-%m-%d %H:%M:%S} UTC. "
            "The hub stops meanwhile.",
            **options,
        )
        kept = comeback.bring_files(found, self.step)
        self.stdout.write(f"The files are back.{f' What was there before is in {kept}.' if kept else ''}")
        for place in sorted(found.path.glob("volumes/*/")):
            self.stdout.write(f"Copies of volumes came with them: `manage.py restore_volumes --node {place.name}`.")

    def restore_dump(self, name: str, **options: Any) -> None:
        """Replace the tables by a dump's; the running hub may stay up."""
        path = dumps.find_backup(name)
        self.confirm(f"This replaces everything in the database by {path}.", **options)
        before = dumps.restore_backup(path)
        # A dump of an older version lacks what later migrations brought.
        call_command("migrate", interactive=False, verbosity=0)
        self.stdout.write(f"Restored {path}. What was there before is in {before}.")
