"""From backups to a data directory: links are checked and combined, and the WAL is replayed up to where it is asked.

PostgreSQL itself does the replaying, as a server of its own on a socket that nobody else can reach. Its data directory
is new; whatever goes wrong, nothing that was there is touched.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from django.conf import settings
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from hub.exceptions import Invalid, NotFound, Unavailable
from hub.launcher.embedded import CLEAN_ENVIRONMENT, Embedded, find_binaries
from hub.launcher.errors import LaunchError
from hub.launcher.processes import spawn
from hub.launcher.users import Account, service_user

from . import base, programs, wal
from .place import check_space, folder

logger = logging.getLogger(__name__)

PAGE = 8192
LATEST = "latest"
LONGEST_SECONDS = 6 * 3600
LAST_CHANGE = re.compile(r"last completed transaction was at log time (.+)")
NOT_YET = "the database system is"  # starting up, not yet accepting connections, shutting down
REDO_DONE = re.compile(r"redo done at ([0-9A-F]+/[0-9A-F]+)")
Progress = Callable[[str], None]
Login = tuple[str, str]


@dataclass(frozen=True)
class Target:
    """Up to where to replay: a time, a position, the end of the backup itself, or (nothing given) all there is."""

    time: datetime | None = None
    position: str = ""
    immediate: bool = False

    @property
    def is_everything(self) -> bool:
        return not (self.time or self.position or self.immediate)

    def settings(self) -> dict[str, str]:
        if self.time:
            return {"recovery_target_time": self.time.isoformat(sep=" ")}
        if self.position:
            # The record that begins there belongs to what came after.
            return {"recovery_target_lsn": self.position, "recovery_target_inclusive": "off"}
        return {"recovery_target": "immediate"} if self.immediate else {}


@dataclass(frozen=True)
class Plan:
    """Which backups and which WAL lead to the target."""

    links: list[base.Base]
    segments: list[wal.Segment]
    histories: list[Path]
    target: Target

    @property
    def base(self) -> base.Base:
        return self.links[-1]

    @property
    def needed_bytes(self) -> int:
        return sum(link.size_bytes for link in self.links) + sum(each.segment_bytes for each in self.segments)


@dataclass(frozen=True)
class Recovered:
    """What came out: where the replay ended, and the time of the last change in it."""

    path: Path
    position: str
    last_change: datetime | None
    seconds: float


def plan(target: Target, *, name: str = LATEST) -> Plan:
    """Choose the backups for a target and look whether all of them are there. Raises Invalid with the reason."""
    start = choose(base.bases(), target, name, folder("base"))
    links = base.chain_of(start)
    stream = wal.find_stream(start.stream)
    if target.immediate or (stream is None and target.is_everything):
        return Plan(links, [], [], Target(immediate=True))
    if stream is None:
        raise Invalid(f"The WAL that follows {start.name} is not there: only the backup itself can come back.")
    segments = _unbroken(stream, start)
    reach = stream.last_write()
    if target.time and reach and reach < target.time:
        raise Invalid(f"The WAL that was received ends at {reach:%Y-%m-%d %H:%M:%S} UTC, before the time asked for.")
    return Plan(links, segments, stream.histories(), target)


def recover(
    found: Plan,
    into: Path,
    *,
    account: Account | None = None,
    login: Login | None = None,
    look: Callable[[str], None] | None = None,
    durable: bool = True,
    say: Progress = logger.info,
) -> Recovered:
    """Make the data directory `into`; `look` is called with the address of the recovered server before it stops.

    A failure removes what was made. `durable` is off for what is thrown away again.
    """
    began = time.monotonic()
    if into.exists():
        raise Invalid(f"{into} exists already: name a directory that does not.")
    account = account or service_user()
    program = _server_program(found.base.major)
    combine = programs.exact_program("pg_combinebackup", found.base.major)
    check_space(into.parent, found.needed_bytes, "The recovery")
    for link in found.links:
        say(f"checking {link.name}")
        base.verify_base(link)
    staged = into.with_name(f".{into.name}-wal")
    try:
        say("putting the backups together")
        sync = [] if durable else ["--no-sync"]
        programs.run([combine, *sync, f"--output={into}", *(link.path for link in found.links)])
        say(f"unpacking {len(found.segments)} segments of WAL")
        _stage(found, staged)
        _give(account, into, staged)
        say("replaying changes")
        with _server(program, into, staged, found, account, login or hub_login(), durable=durable) as address:
            position, last_change = _where(address, into)
            if found.target.is_everything:
                _check_end(found, position)
            if look:
                look(address)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Recovered(into, position, last_change, time.monotonic() - began)


def choose(known: list[base.Base], target: Target, name: str, where: object) -> base.Base:
    """Return the backup to begin with, of those that are known."""
    if name != LATEST:
        for each in known:
            if each.name == name:
                return each
        raise NotFound(f"There is no base backup {name} in {where}.")
    if not known:
        raise NotFound(f"There is no base backup in {where}.")
    if target.time is None:
        return known[0]
    if target.time > timezone.now():
        raise Invalid("The time asked for lies in the future.")
    for each in known:
        if each.finished_at <= target.time:
            return each
    first = f"{known[-1].finished_at:%Y-%m-%d %H:%M:%S} UTC"
    raise Invalid(f"The time asked for lies before the first base backup, which was finished {first}.")


def _unbroken(stream: wal.Stream, start: base.Base) -> list[wal.Segment]:
    """Return the segments from the backup's first one on. Raises Invalid at a hole."""
    first = wal.segment_number(start.start_segment, stream.segment_bytes)
    segments = [segment for segment in stream.segments() if segment.number >= first]
    for expected, segment in enumerate(segments, first):
        if segment.number != expected:
            raise Invalid(f"The WAL is incomplete: a segment before {segment.name} is missing in {stream.path}.")
    if not segments:
        raise Invalid(f"The WAL is incomplete: {start.start_segment} is missing in {stream.path}.")
    return segments


def _stage(found: Plan, staged: Path) -> None:
    """Lay the WAL out as the server asks for it: plain, under its plain name, the unfinished segment too."""
    staged.mkdir(mode=0o700)
    for segment in found.segments:
        try:
            segment.copy_to(staged / segment.name)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise Invalid(f"The WAL segment {segment.name} is damaged: {error}") from error
    for history in found.histories:
        shutil.copyfile(history, staged / history.name)


def _give(account: Account, *places: Path) -> None:
    """Give directories to the server's user, where we are another one."""
    if os.geteuid() != 0:
        return
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


@contextmanager
def _server(
    program: str, data: Path, staged: Path, found: Plan, account: Account, login: Login, *, durable: bool
) -> Iterator[str]:
    """Run the server until it has replayed all it should and takes queries; stopped in order afterwards."""
    with tempfile.TemporaryDirectory(prefix="kutanga-recovery-", dir="/tmp") as scratch:
        home = Path(scratch)
        for name, content in (("hba", "local all all trust\n"), ("ident", ""), ("conf", "")):
            (home / name).write_text(content, encoding="ascii")
        (data / "recovery.signal").touch(mode=0o600)
        _give(account, home, data / "recovery.signal")
        log = home / "log"
        with log.open("wb") as output:
            command = [program, "-D", str(data), *_flags(home, staged, found.target, durable=durable)]
            process = spawn(
                command, output=output, environment=CLEAN_ENVIRONMENT, account=account, death_signal=signal.SIGQUIT
            )
        address = make_conninfo(host=scratch, dbname=login[0], user=login[1], connect_timeout=5)
        try:
            _await(process, address, log, found)
            yield address
            process.send_signal(signal.SIGINT if durable else signal.SIGQUIT)
            process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGQUIT)
                process.wait()


def _flags(home: Path, staged: Path, target: Target, *, durable: bool) -> list[str]:
    """What the recovering server is told; flags, because they outrank every file of the data directory."""
    fetch = f'cp {shlex.quote(str(staged)).replace("%", "%%")}/%f "%p"'
    told = {
        "config_file": str(home / "conf"),
        "hba_file": str(home / "hba"),
        "ident_file": str(home / "ident"),
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "restore_command": fetch,
        "recovery_target_action": "promote",
        **target.settings(),
        # No reader while it replays, so the limits of the server that was copied need not be known.
        "hot_standby": "off",
        "max_prepared_transactions": "100",
        "archive_mode": "off",
        "shared_preload_libraries": "",
        "autovacuum": "off",
        "ssl": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "fsync": "on" if durable else "off",
    }
    return [part for name, value in told.items() for part in ("-c", f"{name}={value}")]


def _await(process: subprocess.Popen[bytes], address: str, log: Path, found: Plan) -> None:
    """Wait until the server takes queries, or say in a sentence why it ended."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        if process.poll() is not None:
            raise _explain(log.read_text(encoding="utf-8", errors="replace"), found)
        try:
            with psycopg.connect(address, autocommit=True) as connected:
                if connected.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,):
                    return
        except psycopg.OperationalError as error:
            if reason := _refusal(str(error)):
                raise Unavailable(f"The recovered database cannot be read here: {reason}") from None
            if time.monotonic() > deadline:
                raise Unavailable(f"The replay did not end in {LONGEST_SECONDS // 3600} hours.") from None
        time.sleep(0.1)


def _refusal(told: str) -> str:
    """Return why a server lets nobody in; nothing while it is not there yet, or says that it is still replaying."""
    _, fatal, words = told.partition("FATAL:")
    if not fatal or words.lstrip().startswith(NOT_YET):
        return ""
    reason = " ".join(words.split())
    return f"{reason} Install that locale on this machine." if "locale" in reason else reason


def _explain(log: str, found: Plan) -> Invalid | Unavailable:
    """Turn the last words of a server that gave up into a sentence."""
    if "No space left on device" in log:
        return Unavailable("The disk is full: make room and try again. Nothing was changed.")
    if "recovery ended before configured recovery target was reached" in log:
        if done := REDO_DONE.search(log):
            _check_end(found, done[1])
        change = LAST_CHANGE.search(log)
        until = f"with the change of {change[1]}" if change else "right after the backup"
        return Invalid(f"The WAL that was received ends {until}: nothing is known of the time asked for.")
    fatal = [line for line in log.splitlines() if "FATAL:" in line or "PANIC:" in line]
    return Unavailable(f"PostgreSQL could not recover: {(fatal or log.splitlines() or ['no reason'])[-1]}")


def _where(address: str, data: Path) -> tuple[str, datetime | None]:
    """Return where the replay ended and when its last change was made."""
    with psycopg.connect(address, autocommit=True) as connected:
        row = connected.execute("SELECT pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp()").fetchone()
    if row is None or row[0] is None:
        raise Unavailable(f"PostgreSQL does not say how far it has recovered {data}.")
    return row


def _check_end(found: Plan, position: str) -> None:
    """Refuse a replay that stopped early: PostgreSQL takes a damaged record for the end of the WAL."""
    if not found.segments:
        return
    last = found.segments[-1]
    reached = wal.lsn(position)
    if reached >= last.start or (reached >= last.start - PAGE and _is_empty(last)):
        return
    segment = next((each for each in reversed(found.segments) if each.start <= reached), found.segments[0])
    raise Invalid(f"The WAL segment {segment.name} is damaged: the replay could not get past {position}.")


def _is_empty(segment: wal.Segment) -> bool:
    """Whether nothing was written to a segment yet that has just been begun."""
    if segment.path.suffix == ".gz":
        return False
    with segment.path.open("rb") as file:
        return not any(file.read(PAGE))


def hub_login() -> Login:
    """Return database and user of the hub; the recovered server has them too and asks nobody for a password."""
    return str(settings.DATABASES["default"]["NAME"]), str(settings.DATABASES["default"]["USER"])


def _server_program(major: int) -> str:
    """Return the server's program; as root a copy that the server's user may read, wherever our checkout lies."""
    if os.geteuid() == 0:
        try:
            embedded = Embedded(settings.HUB_DATA, find_binaries(Path(sys.prefix)))
            if programs.major(str(embedded.installed.postgres / "postgres")) == major:
                embedded.provide_programs()
                return str(embedded.programs.postgres / "postgres")
        except LaunchError:
            logger.debug("no embedded programs: the machine's own")
    return programs.exact_program("postgres", major)


def clear(scratch: Path) -> None:
    """Remove what recoveries left in a directory of their own, also those that were killed."""
    for leftover in scratch.iterdir():
        shutil.rmtree(leftover, ignore_errors=True)
