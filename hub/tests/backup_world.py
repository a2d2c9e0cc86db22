"""A database server of its own to copy, destroy and bring back, with a receiver of its WAL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.test import override_settings

from hub.backups import programs, wal
from hub.launcher.embedded import CLEAN_ENVIRONMENT, Embedded, find_binaries
from hub.launcher.processes import spawn, wait_until

START_SECONDS = 60


class World:
    """One PostgreSQL as the launcher starts it; its backups lie below its own directory."""

    def __init__(self, root: Path) -> None:
        self.embedded = Embedded(root, find_binaries(Path(sys.prefix)))
        self.server: subprocess.Popen[bytes] | None = None
        self.receiver: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and the database the first time."""
        with (self.embedded.root / "postgres.log").open("ab") as log:
            self.server = spawn(
                self.embedded.postgres_command(),
                output=log,
                environment=CLEAN_ENVIRONMENT,
                account=self.embedded.account,
                death_signal=signal.SIGQUIT,
            )
        assert wait_until(self.embedded.postgres_answers, START_SECONDS)
        self.embedded.create_database()

    def stop(self, how: int = signal.SIGINT) -> None:
        if self.server:
            self.server.send_signal(how)
            self.server.wait()
            self.server = None

    def receive(self) -> None:
        """Start the receiver as `manage.py receive_wal` would."""
        command, environment = wal.prepare_receiver()
        with (self.embedded.root / "wal.log").open("ab") as log:
            self.receiver = spawn(command, output=log, environment=environment)
        assert wait_until(lambda: wal.lag_bytes(programs.source()) is not None, START_SECONDS)

    def stop_receiver(self, how: int = signal.SIGTERM) -> None:
        if self.receiver:
            self.receiver.send_signal(how)
            self.receiver.wait()
            self.receiver = None

    def sql(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask as the hub."""
        with psycopg.connect(self.embedded.database_url, autocommit=True) as connection:
            cursor = connection.execute(text.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def as_superuser(self, text: str) -> None:
        with psycopg.connect(f"host={self.embedded.sockets} user=postgres dbname=hub", autocommit=True) as connection:
            connection.execute(text.encode())

    def wait_for_wal(self) -> None:
        """Wait until all that was written is received."""
        source = programs.source()
        position = str(source.rows("SELECT pg_current_wal_insert_lsn()::text")[0][0])
        assert wait_until(lambda: wal.has_received(source, position), START_SECONDS)

    def switch(self) -> None:
        """Finish the segment that is being written."""
        self.as_superuser("SELECT pg_switch_wal()")


@contextmanager
def backup_world() -> Iterator[World]:
    """A running server with a receiver; the settings know it as the one to back up."""
    with tempfile.TemporaryDirectory(prefix="kutanga-backup-") as directory:
        root = Path(directory)
        os.chmod(root, 0o711)  # noqa: S103 - as root, the server's user lives below it
        world = World(root)
        world.embedded.prepare()
        url = world.embedded.backup_url
        with override_settings(HUB_DATA=root, HUB_BACKUPS="", HUB_BACKUP_DATABASE_URL=url):
            try:
                world.start()
                world.receive()
                yield world
            finally:
                world.stop_receiver()
                world.stop(signal.SIGQUIT)
                world.embedded.remove_sockets()
