"""What `restore` and `pitr` share: where to, asking first, and what is told afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.exceptions import HubError, Invalid
from hub.launcher.processes import wait_until

from . import base, comeback, fetching, programs, recovery, wal
from .place import mib
from .sealed import SealedStore
from .store import open_store

RECEIVER_SECONDS = 60


class Recovery(BaseCommand):
    """Recover from base backups into the embedded database's place, or into a directory."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--into", type=Path, help="Only make this data directory and change nothing else.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")
        parser.add_argument("--store", action="store_true", help="Fetch from HUB_BACKUP_STORE what is needed.")

    def recover(self, target: recovery.Target, *, name: str = recovery.LATEST, **options: Any) -> None:
        """Look whether the backups suffice, ask, and do it."""
        if options["store"]:
            name = fetching.bring_database(SealedStore(open_store()), target, name, self.step)
        found = recovery.plan(target, name=name)
        into: Path | None = options["into"]
        if into is None and not comeback.is_ours():
            raise Invalid(
                "The database server is not the embedded one: make a data directory with --into DIRECTORY and let the "
                "server start on that (docs/backups.md)."
            )
        self.stdout.write(
            f"From {found.base.name} ({len(found.links)} backups, {len(found.segments)} segments of WAL, "
            f"{mib(found.needed_bytes)} MiB): {_until(found)}."
        )
        if into is not None:
            done = recovery.recover(found, into.absolute(), say=self.step)
            self.stdout.write(f"{done.path} is ready in {done.seconds:.0f} s. {_last_change(done)}")
            return
        self.confirm(
            "The hub stops meanwhile, and everything in its database is replaced. The data directory of now is kept.",
            **options,
        )
        outcome = comeback.bring_back(found, self.step)
        self.stdout.write(f"The database is back. {_last_change(outcome.recovered)}")
        if outcome.kept:
            self.stdout.write(f"What was there before is in {outcome.kept}: delete it when you no longer need it.")
        if outcome.was_running:
            self.begin_chain()
        else:
            self.stdout.write("Start the hub with `make up`.")

    def begin_chain(self) -> None:
        """Back up at once: what happened since belongs to no chain yet."""
        try:
            source = programs.source()
            wait_until(lambda: wal.current_stream(source, wal.ask_server(source)) is not None, RECEIVER_SECONDS)
            self.stdout.write(f"First backup of the restored database: {base.create_base('full').name}")
        except HubError as error:
            self.stdout.write(f"The restored database is not backed up yet, run `manage.py backup`: {error.message}")

    def confirm(self, text: str, **options: Any) -> None:
        if options["yes"]:
            return
        self.stdout.write(text)
        try:
            answer = input("Type yes to go on: ")
        except EOFError:
            answer = ""
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was restored.")

    def step(self, text: str) -> None:
        self.stdout.write(f"- {text}")
        self.stdout.flush()


def _until(found: recovery.Plan) -> str:
    if found.target.time:
        return f"as it was at {found.target.time:%Y-%m-%d %H:%M:%S %Z}"
    if found.target.immediate:
        return f"as it was when that backup was finished, {found.base.finished_at:%Y-%m-%d %H:%M:%S} UTC"
    return "everything up to the last change received"


def _last_change(done: recovery.Recovered) -> str:
    return f"Its last change is of {done.last_change:%Y-%m-%d %H:%M:%S} UTC." if done.last_change else ""
