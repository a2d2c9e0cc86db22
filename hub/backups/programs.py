"""PostgreSQL's own client programs: found, started on our database, and quoted when they fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import psycopg
from django.conf import settings
from django.db import connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hub.exceptions import Unavailable
from hub.launcher.embedded import find_binaries
from hub.launcher.errors import LaunchError

ANSWER_SECONDS = 10


@dataclass(frozen=True)
class Source:
    """The server that base backups and WAL come from, as a role that may replicate."""

    conninfo: str
    password: str

    def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask the server; each answer is a transaction of its own."""
        conninfo = make_conninfo(self.conninfo, password=self.password or None, connect_timeout=ANSWER_SECONDS)
        try:
            with psycopg.connect(conninfo, autocommit=True) as connected:
                return connected.execute(cast("Any", sql), tuple(parameters)).fetchall()
        except psycopg.Error as error:
            raise Unavailable(f"PostgreSQL did not answer the backup: {_one_line(str(error))}") from error

    @property
    def is_local(self) -> bool:
        host = str(conninfo_to_dict(self.conninfo).get("host", ""))
        return not host or host.startswith("/")


def source() -> Source:
    """Return the server to copy. Raises Unavailable when none is configured."""
    if not settings.HUB_BACKUP_DATABASE_URL:
        raise Unavailable(
            "Base backups need a role that may replicate: CREATE ROLE hub_backup LOGIN REPLICATION PASSWORD '…', and "
            "its postgresql:// address in HUB_BACKUP_DATABASE_URL. Until then `manage.py backup --dump` makes dumps."
        )
    parts = conninfo_to_dict(settings.HUB_BACKUP_DATABASE_URL)
    password = str(parts.pop("password", "") or "")
    return Source(make_conninfo(**cast("Any", parts)), password)


def may_replicate() -> bool:
    """Whether base backups are configured at all."""
    return bool(settings.HUB_BACKUP_DATABASE_URL)


def dump_connection() -> str:
    """Return the hub's own connection for pg_dump and psql, without its password."""
    database = connection.settings_dict
    options = {key: value for key, value in database["OPTIONS"].items() if isinstance(value, str)}
    return make_conninfo(
        dbname=database["NAME"],
        user=database["USER"] or None,
        host=database["HOST"] or None,
        port=database["PORT"] or None,
        **options,
    )


def run(command: Iterable[str | Path], *, password: str = "", **more: Any) -> str:
    """Run a program to its end and return what it printed; its last words are the error."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, check=False, stdin=subprocess.DEVNULL, env=environment(words[0], password), **more
    )
    if done.returncode != 0:
        raise Unavailable(f"{Path(words[0]).name} failed: {last_line(done.stderr or done.stdout)}")
    return done.stdout.decode(errors="replace")


def environment(program: str, password: str = "") -> dict[str, str]:
    """Return our environment for a program, without PostgreSQL's own variables, which would bend the connection.

    The password goes by the environment, which other users cannot see. The embedded programs are built without TLS, all
    of which is in the library of the client: with the one that psycopg brings they speak it.
    """
    names = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if program == _embedded_program(Path(program).name) and (library := _library_with_tls(major(program))):
        names["LD_PRELOAD"] = library
    return {**names, "PGPASSWORD": password} if password else names


@cache
def _library_with_tls(wanted: int) -> str:
    """Return psycopg's own libpq where it is of the programs' major version; else nothing."""
    found = sorted(Path(psycopg.__file__).parent.with_name("psycopg_binary.libs").glob("libpq-*.so*"))
    return str(found[0]) if found and psycopg.pq.version() // 10_000 == wanted else ""


def client_program(name: str) -> str:
    """Return a client program that is not older than the hub's server.

    For a distant server the machine's own come first: they are of its kind, and know the machine's authorities.
    """
    wanted = _server_major()
    embedded_first = not connection.settings_dict["HOST"] or connection.settings_dict["HOST"].startswith("/")
    for path in _candidates(name, wanted, embedded_first=embedded_first):
        if major(path) >= wanted:
            return path
    raise Unavailable(
        f"{name} of PostgreSQL {wanted} or newer is missing: install the package postgresql-client-{wanted}."
    )


def exact_program(name: str, wanted: int, *, embedded_first: bool = True) -> str:
    """Return a program of just this major version: those that read a data directory know no other."""
    for path in _candidates(name, wanted, embedded_first=embedded_first):
        if major(path) == wanted:
            return path
    raise Unavailable(f"{name} of PostgreSQL {wanted} is missing: install the package postgresql-{wanted}.")


def _candidates(name: str, wanted: int, *, embedded_first: bool) -> Iterable[str]:
    """The embedded program and the machine's own; Debian keeps one directory for each version beside PATH."""
    own = [shutil.which(name), f"/usr/lib/postgresql/{wanted}/bin/{name}"]
    found = [_embedded_program(name), *own] if embedded_first else [*own, _embedded_program(name)]
    return [path for path in found if path and Path(path).exists()]


@cache
def _server_major() -> int:
    """Return the server's version; asked once, because a restore cuts our own connections as well."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        return int(cursor.fetchone()[0]) // 10_000


def _embedded_program(name: str) -> str | None:
    try:
        path = find_binaries(Path(sys.prefix)).postgres / name
    except LaunchError:
        return None
    return str(path) if path.exists() else None


@cache
def major(program: str) -> int:
    """Return the major version that a program says it has."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)(\.\d+|beta|rc|devel)", told)
    return int(found[1]) if found else 0


def last_line(output: bytes) -> str:
    """Return what a program said last, which mostly names the reason."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it gave no reason"


def _one_line(text: str) -> str:
    return " ".join(text.split())
