"""The write-ahead log, received as it is written: streams of segments that pg_receivewal keeps on disk.

A *stream* is a directory with an unbroken run of WAL of one server on one timeline. A replication slot makes the server
keep what we have not got yet, so a receiver that was killed goes on where it stopped. Where that is impossible (the
server was restored, the slot was lost) a new stream begins, and with it the next base backup is a full one.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from hub.exceptions import Unavailable
from hub.launcher.place import read_json, write_json

from . import programs
from .place import folder, stamp, sync

SLOT = "hub_backup"
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.gz|\.partial)?")
UNTOUCHED = 2  # segments that the receiver may still look at are not compressed
USABLE = ("reserved", "extended", "unreserved")


@dataclass(frozen=True)
class Server:
    """What the server says about itself."""

    system: str
    timeline: str
    segment_bytes: int
    version: int
    position: str
    bytes: int
    summarizes: bool
    may_replicate: bool

    @property
    def major(self) -> int:
        return self.version // 10_000


SERVER = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
       pg_size_bytes(current_setting('wal_segment_size')),
       current_setting('server_version_num')::int,
       pg_current_wal_flush_lsn()::text,
       (SELECT sum(pg_database_size(oid))::bigint FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')),
       coalesce(current_setting('summarize_wal', true), 'off') = 'on',
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
"""


def ask_server(source: programs.Source) -> Server:
    """Ask the server who it is; a role that may not replicate is refused with the words that mend it."""
    server = Server(*source.rows(SERVER)[0])
    if not server.may_replicate:
        raise Unavailable(
            "The role of HUB_BACKUP_DATABASE_URL may not replicate: run ALTER ROLE … REPLICATION as a superuser."
        )
    return server


@dataclass(frozen=True)
class Stream:
    """One directory of unbroken WAL."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def facts(self) -> dict[str, Any]:
        return read_json(self.path / "stream.json")

    @property
    def segment_bytes(self) -> int:
        return int(self.facts.get("segment_bytes", 16 * 1024**2))

    def segments(self) -> list[Segment]:
        """Return the segments in order; a finished one hides its own beginnings."""
        found: dict[str, Segment] = {}
        for path in sorted(self.path.iterdir()):
            match = SEGMENT.fullmatch(path.name)
            if match and (match[4] != ".partial" or path.stem not in found):
                found[path.name.split(".")[0]] = Segment(path, self.segment_bytes)
        return sorted(found.values(), key=lambda segment: segment.number)

    def histories(self) -> list[Path]:
        return sorted(self.path.glob("*.history"))

    def last_write(self) -> datetime | None:
        """Return when the receiver wrote last."""
        times = [segment.path.stat().st_mtime for segment in self.segments()[-2:]]
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def size_bytes(self) -> int:
        return sum(segment.path.stat().st_size for segment in self.segments())


@dataclass(frozen=True)
class Segment:
    """One file of WAL: whole, compressed, or still being written."""

    path: Path
    segment_bytes: int

    @property
    def name(self) -> str:
        return self.path.name.split(".")[0]

    @property
    def is_partial(self) -> bool:
        return self.path.suffix == ".partial"

    @property
    def number(self) -> int:
        """Return the position in the run of segments, whatever the timeline."""
        return segment_number(self.name, self.segment_bytes)

    @property
    def start(self) -> int:
        """Return the LSN of its first byte."""
        return self.number * self.segment_bytes

    def copy_to(self, target: Path) -> None:
        """Write the plain content to a new file."""
        if self.path.suffix == ".gz":
            with gzip.open(self.path) as packed, target.open("xb") as plain:
                shutil.copyfileobj(packed, plain, 1024**2)
        else:
            shutil.copyfile(self.path, target)


def segment_number(name: str, segment_bytes: int) -> int:
    return int(name[8:16], 16) * (2**32 // segment_bytes) + int(name[16:24], 16)


def lsn(text: str) -> int:
    """Turn PostgreSQL's `16/B374D848` into a number."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def streams() -> list[Stream]:
    """Return all streams, newest first."""
    return [Stream(path.parent) for path in sorted(folder("wal").glob("*/stream.json"), reverse=True)]


def find_stream(name: str) -> Stream | None:
    path = folder("wal") / name
    return Stream(path) if name and (path / "stream.json").exists() else None


def current_stream(source: programs.Source, server: Server) -> Stream | None:
    """Return the stream that this server's WAL goes to; none before a receiver has begun one.

    A restored server has no slot, so the streams of its former life are not taken for its own.
    """
    newest = next(iter(streams()), None)
    if newest is None or (newest.facts.get("system"), newest.facts.get("timeline")) != (server.system, server.timeline):
        return None
    slot = _slot(source)
    return newest if slot and slot[0] in USABLE else None


def prepare_receiver() -> tuple[list[str], dict[str, str]]:
    """Choose or begin the stream; returns the receiver's command and environment."""
    source = programs.source()
    server = ask_server(source)
    stream = current_stream(source, server)
    if stream is None or _has_gap(stream, source):
        stream = _begin(source, server)
    receiver = programs.exact_program("pg_receivewal", server.major, embedded_first=source.is_local)
    # No --create-slot: a slot that vanished under the receiver is a reason to look again, not to go on.
    command = [
        receiver,
        f"--dbname={source.conninfo}",
        f"--directory={stream.path}",
        f"--slot={SLOT}",
        "--synchronous",
        "--status-interval=1",  # also how long it takes to heed a signal
        "--no-loop",
        "--no-password",
    ]
    return command, programs.environment(receiver, source.password)


def lag_bytes(source: programs.Source) -> int | None:
    """Return how much WAL the receiver has not yet on disk; none when no receiver is connected."""
    sql = """
        SELECT greatest(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn), 0)::bigint
        FROM pg_replication_slots WHERE slot_name = %s AND active
    """
    rows = source.rows(sql, [SLOT])
    return int(rows[0][0]) if rows else None


def has_received(source: programs.Source, position: str) -> bool:
    """Whether everything up to a position lies on our disk."""
    sql = "SELECT restart_lsn >= %s::pg_lsn FROM pg_replication_slots WHERE slot_name = %s AND active"
    rows = source.rows(sql, [position, SLOT])
    return bool(rows and rows[0][0])


def compress(stream: Stream) -> int:
    """Pack finished segments, each beside itself first; returns how many."""
    done = 0
    for segment in [each for each in stream.segments() if not each.is_partial and not each.path.suffix][:-UNTOUCHED]:
        packed = segment.path.with_suffix(".gz")
        draft = packed.with_name(f".{packed.name}.draft")
        with segment.path.open("rb") as plain, gzip.open(draft, "wb", compresslevel=1) as target:
            shutil.copyfileobj(plain, target, 1024**2)
        sync(draft)
        draft.rename(packed)
        sync(stream.path)
        segment.path.unlink()
        done += 1
    return done


def forget_before(stream: Stream, name: str) -> int:
    """Remove the segments that lie before the one of that name; returns how many."""
    first = segment_number(name, stream.segment_bytes)
    gone = [segment for segment in stream.segments() if segment.number < first]
    for segment in gone:
        segment.path.unlink()
    return len(gone)


def _begin(source: programs.Source, server: Server) -> Stream:
    """Begin a stream. Its directory comes before its slot: a crash between the two leaves an empty stream behind, never
    a slot whose WAL goes to the stream of another life."""
    path = folder("wal", f"{stamp()}-{server.timeline}")
    facts = {"system": server.system, "timeline": server.timeline, "segment_bytes": server.segment_bytes}
    write_json(path / "stream.json", {**facts, "version": server.version})
    if _slot(source):
        source.rows("SELECT pg_drop_replication_slot(%s)", [SLOT])
    source.rows("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])
    return Stream(path)


def _slot(source: programs.Source) -> tuple[str, str, bool] | None:
    rows = source.rows(
        "SELECT wal_status, restart_lsn::text, active FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
    )
    return rows[0] if rows else None


def _has_gap(stream: Stream, source: programs.Source) -> bool:
    """Whether the server has let go of WAL that would follow on what we have."""
    slot, segments = _slot(source), stream.segments()
    if not slot or not segments:
        return not slot
    return lsn(slot[1]) // stream.segment_bytes > segments[-1].number + 1


def exec_receiver() -> None:
    """Become pg_receivewal."""
    command, environment = prepare_receiver()
    os.umask(0o077)
    os.execve(command[0], command, environment)  # noqa: S606 - no shell, on purpose
