"""Dumps of the database: made nightly, checked when they are made and before they are used, restored all or nothing.

A dump holds secrets only in their encrypted form. The keys are not in it: without `secrets.json` (or HUB_SECRET_KEYS)
of the same time, a restored hub cannot read them.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import connection, connections

from hub.exceptions import Invalid, NotFound, Unavailable

from . import reports
from .place import STAMP, digest, folder, stamp, sync
from .programs import client_program, dump_connection, environment, last_line

logger = logging.getLogger(__name__)

NAME = re.compile(r"hub-(\d{8}T\d{6}\.\d{6}Z)(-[a-z-]+)?\.dump")
ABANDONED_SECONDS = 86_400
# Whoever holds a connection would keep the old tables locked; each of ours reconnects by itself.
TAKE_OVER = """
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL lock_timeout = '60s';
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""


@dataclass(frozen=True)
class Backup:
    """A finished dump."""

    path: Path
    created_at: datetime
    size_bytes: int


def run_backup() -> None:
    """Make the nightly dump and forget the oldest ones."""
    with reports.reported("dump") as report:
        path = create_backup()
        report.name, report.bytes = path.name, path.stat().st_size
    for old in list_backups()[settings.HUB_BACKUPS_KEPT :]:
        _checksum_file(old.path).unlink(missing_ok=True)
        old.path.unlink(missing_ok=True)
    logger.info("database dumped to %s", path)


def list_backups() -> list[Backup]:
    """Return the finished dumps, newest first."""
    found = []
    for path in folder().glob("hub-*.dump"):
        if (match := NAME.fullmatch(path.name)) and _checksum_file(path).exists():
            created_at = datetime.strptime(match[1], STAMP).replace(tzinfo=UTC)
            found.append(Backup(path, created_at, path.stat().st_size))
    return sorted(found, key=lambda backup: (backup.created_at, backup.path.name), reverse=True)


def create_backup(label: str = "") -> Path:
    """Dump the database into a file of its own, which appears only when it is complete and readable."""
    _forget_abandoned(folder())
    path = folder() / f"hub-{stamp()}{'-' if label else ''}{label}.dump"
    handle, name = tempfile.mkstemp(prefix=".partial-", dir=folder())
    os.close(handle)
    draft = Path(name)
    try:
        _run(
            "pg_dump",
            ["--format=custom", "--no-owner", "--no-privileges", "--lock-wait-timeout=60s", f"--file={draft}"],
        )
        _read_contents(draft)
        sync(draft)
        # The checksum first: a dump without one counts as unfinished.
        _write_checksum(path, digest(draft))
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def find_backup(name: str) -> Path:
    """Return the dump of that name or path; `latest` is the newest."""
    known = list_backups()
    if name == "latest" and known:
        return known[0].path
    for path in (folder() / name, Path(name)):
        if path.is_file():
            return path
    raise NotFound(f"There is no backup {name} in {folder()}.")


def restore_backup(path: Path) -> Path:
    """Put a dump in the place of everything in the database, in one transaction; returns the dump of what was there.

    The transaction is committed only after the dump was read to its end, so a damaged or interrupted restore leaves the
    database as it was. Connections of other processes are cut; they come back by themselves.
    """
    verify_backup(path)
    before = create_backup("before-restore")
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has it; a pool full of cut connections is slow to mend
    with _start("psql", ["--quiet", "--no-psqlrc", "--output=/dev/null", "--set=ON_ERROR_STOP=1"]) as psql:
        if psql.stdin is None:
            raise Unavailable("psql takes no input.")
        try:
            psql.stdin.write(TAKE_OVER.encode())
            _pour(path, psql.stdin)
            psql.stdin.write(b"\nCOMMIT;\n")
            psql.stdin.close()
        except BrokenPipeError:
            logger.debug("psql left before the end of the dump: it says why")
        except BaseException:
            psql.kill()
            raise
        complaint = psql.stderr.read() if psql.stderr else b""
    if psql.returncode != 0:
        raise Unavailable(f"Nothing was restored: {last_line(complaint)}")
    logger.warning("database restored from %s; what was there is in %s", path, before)
    return before


def verify_backup(path: Path) -> None:
    """Refuse a dump that is not what was written."""
    try:
        expected = _checksum_file(path).read_text(encoding="ascii").split()[0]
    except (OSError, IndexError):
        raise Invalid(f"{path.name} has no checksum beside it, so it may be incomplete.") from None
    if digest(path) != expected:
        raise Invalid(f"{path.name} is damaged: its checksum is not the one that was written with it.")
    _read_contents(path)


def _forget_abandoned(place: Path) -> None:
    """Remove what a killed dump left behind."""
    for path in place.glob(".partial-*"):
        if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
            path.unlink(missing_ok=True)


def _pour(path: Path, target: IO[bytes]) -> None:
    """Write a dump as SQL."""
    command = [client_program("pg_restore"), "--no-owner", "--no-privileges", "--no-comments", "--file=-", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(command[0])
    ) as process:
        if process.stdout is not None:
            shutil.copyfileobj(process.stdout, target)
        complaint = process.stderr.read() if process.stderr else b""
    if process.returncode != 0:
        raise Unavailable(f"Nothing was restored: {last_line(complaint)}")


def _read_contents(path: Path) -> None:
    """Let pg_restore read the table of contents."""
    command = [client_program("pg_restore"), "--list", str(path)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment(command[0]))
    if done.returncode != 0:
        raise Invalid(f"{path.name} is not a readable dump: {last_line(done.stderr)}")


def _run(name: str, arguments: list[str]) -> None:
    """Run a client program on our database to its end."""
    with _start(name, arguments) as process:
        _, complaint = process.communicate()
    if process.returncode != 0:
        raise Unavailable(f"{name} failed: {last_line(complaint)}")


def _start(name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start a client program on our database."""
    program = client_program(name)
    return subprocess.Popen(
        [program, f"--dbname={dump_connection()}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(program, connection.settings_dict["PASSWORD"]),
    )


def _checksum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _write_checksum(path: Path, digest: str) -> None:
    """Write the line that `sha256sum --check` reads."""
    target = _checksum_file(path)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"{digest}  {path.name}\n")
        file.flush()
        os.fsync(file.fileno())
