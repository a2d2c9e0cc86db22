"""Trial restores: the newest backups become a server of their own, which must hold exactly what ours held at a moment.

The moment is one at which nobody was writing: all tables are locked for it without waiting, only until a snapshot of
them is taken. The recovery ends at the position in the WAL that belongs to it, so not one row may differ.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import IsolationLevel, sql
from psycopg.conninfo import make_conninfo

from hub.exceptions import Unavailable
from hub.launcher.embedded import make_directory
from hub.launcher.processes import wait_until

from . import base, programs, recovery, reports, wal

ATTEMPTS, PAUSE_SECONDS = 200, 0.05
RECEIVED_SECONDS = 60
TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ORDER BY 1, 2
"""
# A row as text depends on these.
SAME_WORDS = "SET timezone = 'UTC'; SET bytea_output = 'hex'; SET extra_float_digits = 1; SET datestyle = 'ISO, YMD'"
Table = tuple[str, str]
Content = dict[Table, tuple[int, int]]


@dataclass(frozen=True)
class Moment:
    """What the tables held, where the WAL stood then, and where it stood once that was on its way."""

    content: Content
    position: str
    until: str


def run_trial() -> None:
    """Restore into a scratch server, compare, and report."""
    if programs.may_replicate() and base.bases():
        with reports.reported("trial") as report:
            report.name = base.bases()[0].name
            done, moment = try_restore(_our_address(), recovery.hub_login())
            rows = sum(count for count, _ in moment.content.values())
            report.seconds, report.detail = done.seconds, f"{len(moment.content)} tables, {rows} rows are the same."
            report.bytes = sum(link.size_bytes for link in base.chain_of(base.bases()[0]))


def try_restore(address: str, login: recovery.Login) -> tuple[recovery.Recovered, Moment]:
    """Recover the state of this moment from the newest backups and compare. Raises Unavailable with what differs."""
    moment = take_moment(address)
    source = programs.source()
    if not wait_until(lambda: wal.has_received(source, moment.until), RECEIVED_SECONDS):
        raise Unavailable(f"The WAL of a minute ago is not in the backups: is `receive_wal` running? ({moment.until})")
    scratch = settings.HUB_DATA / "trial"
    make_directory(scratch, 0o711)
    found = recovery.plan(recovery.Target(position=moment.position))
    place = scratch / f"data-{time.time_ns()}"
    differing: list[str] = []

    def look(recovered: str) -> None:
        with psycopg.connect(recovered) as there:
            differing.extend(compare(moment.content, read_content(there)))

    try:
        done = recovery.recover(found, place, login=login, look=look, durable=False)
    finally:
        recovery.clear(scratch)
    if differing:
        raise Unavailable(f"The restored database differs in {len(differing)} tables: {', '.join(differing[:5])}.")
    return done, moment


def take_moment(address: str) -> Moment:
    """Read all tables as they were at one position of the WAL, without keeping anybody from writing meanwhile."""
    with ExitStack() as stack:
        reader = stack.enter_context(psycopg.connect(address))
        reader.isolation_level = IsolationLevel.REPEATABLE_READ
        with _all_quiet(address) as (snapshot, position):
            reader.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        with psycopg.connect(address, autocommit=True) as writer:
            row = writer.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        return Moment(read_content(reader), position, row[0] if row else position)


def read_content(connected: psycopg.Connection) -> Content:
    """Count the rows of each table, and sum up a hash of each."""
    connected.execute(SAME_WORDS)
    content: Content = {}
    for schema, name in connected.execute(TABLES).fetchall():
        query = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM ONLY {} t")
        row = connected.execute(query.format(sql.Identifier(schema, name))).fetchone()
        if row:
            content[(schema, name)] = (row[0], int(row[1]))
    return content


def compare(ours: Content, theirs: Content) -> list[str]:
    """Name the tables that are not the same."""
    return [
        f"{name} ({ours.get((schema, name), ('no',))[0]} rows, restored {theirs.get((schema, name), ('no',))[0]})"
        for schema, name in sorted({*ours, *theirs})
        if ours.get((schema, name)) != theirs.get((schema, name))
    ]


@contextmanager
def _all_quiet(address: str) -> Iterator[tuple[str, str]]:
    """Lock every table against writing for a moment; gives a snapshot of then, and the position in the WAL.

    Never waits for a lock: whoever waits holding others can run into a deadlock with somebody's request.
    """
    for _ in range(ATTEMPTS):
        with psycopg.connect(address) as holder:
            holder.isolation_level = IsolationLevel.REPEATABLE_READ
            try:
                tables = psycopg.connect(address, autocommit=True)
                with tables:
                    names = [sql.Identifier(*row) for row in tables.execute(TABLES).fetchall()]
                if names:
                    holder.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE NOWAIT").format(sql.SQL(", ").join(names)))
                # A number of its own, so that the end of this transaction is a record after the position.
                row = holder.execute(
                    "SELECT pg_export_snapshot(), pg_current_wal_insert_lsn()::text, pg_current_xact_id()::text"
                ).fetchone()
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable):
                holder.rollback()
            else:
                if row:
                    yield row[0], row[1]
                return
        time.sleep(PAUSE_SECONDS)
    raise Unavailable("There was no moment without a write in ten seconds: the trial restore is tried again tomorrow.")


def _our_address() -> str:
    return make_conninfo(programs.dump_connection(), password=connection.settings_dict["PASSWORD"] or None)
