"""Base backups: copies of the whole server, full or of what changed since the one before, checked when they are made.

A full backup and the incremental ones that follow it are a *chain*; pg_combinebackup makes a data directory of any link
with those before it. Each backup is a directory and a JSON file beside it, which is written last: without it a
directory is unfinished and does not count.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.utils import timezone

from hub.exceptions import Invalid, Unavailable
from hub.launcher.place import read_json, write_json

from . import programs, reports, wal
from .place import alone, check_space, digest, folder, mib, stamp, sync, tree_bytes

logger = logging.getLogger(__name__)

Kind = Literal["full", "incremental"]
CHAIN_AGE = timedelta(days=7)
EVERY = timedelta(hours=23, minutes=30)  # a little less than a day: the hourly look must not drift into the next one


@dataclass(frozen=True)
class Base:
    """A finished base backup."""

    name: str
    kind: str
    parent: str
    chain: str
    system: str
    stream: str
    start_segment: str
    version: int
    began_at: datetime
    finished_at: datetime
    size_bytes: int
    manifest_sha256: str
    verified_at: datetime

    @property
    def path(self) -> Path:
        return folder("base") / self.name

    @property
    def major(self) -> int:
        return self.version // 10_000


def bases() -> list[Base]:
    """Return the finished base backups, newest first."""
    found = [_read(path) for path in folder("base").glob("*.json")]
    return sorted((each for each in found if each), key=lambda base: base.finished_at, reverse=True)


def chain_of(base: Base, among: list[Base] | None = None) -> list[Base]:
    """Return the base and all it builds on, the full one first. Raises Invalid when a link is missing."""
    known = {each.name: each for each in (bases() if among is None else among)}
    links = [base]
    while links[0].parent:
        parent = known.get(links[0].parent)
        if parent is None:
            raise Invalid(f"The backup {base.name} cannot be used: {links[0].parent}, on which it builds, is missing.")
        links.insert(0, parent)
    return links


def create_base(kind: Kind | None = None) -> Base:
    """Copy the server; without a kind, what is due: full where no chain can be continued, else incremental."""
    with alone("this one"):
        source = programs.source()
        server = wal.ask_server(source)
        stream = wal.current_stream(source, server)
        parent = _parent(server, stream) if kind != "full" else None
        if kind == "incremental" and parent is None:
            raise Unavailable(_why_no_increment(server, stream))
        if kind is None and parent and timezone.now() - _chain_began(parent) > CHAIN_AGE:
            parent = None
        try:
            return _copy(source, server, stream, parent)
        except Unavailable as error:
            if kind or parent is None:
                raise
            # Summaries of the WAL may have been removed or switched off since; a full backup needs none.
            logger.warning("no incremental backup, making a full one: %s", error)
            return _copy(source, server, stream, None)


def run_base() -> None:
    """Make the backup that is due; the first one as soon as WAL is received: a new hub is safe within an hour."""
    if not programs.may_replicate():
        return
    source = programs.source()
    stream = wal.current_stream(source, wal.ask_server(source))
    newest = next((base for base in bases() if stream is None or base.stream == stream.name), None)
    if newest is None or timezone.now() - newest.finished_at >= EVERY:
        with reports.reported("base") as report:
            base = create_base()
            report.name, report.bytes = base.name, base.size_bytes
        logger.info("base backup %s, %d MiB", base.name, mib(base.size_bytes))


def verify_base(base: Base) -> None:
    """Refuse a backup that is not, byte by byte, what was written. Raises Invalid."""
    manifest = base.path / "backup_manifest"
    if not manifest.exists() or digest(manifest) != base.manifest_sha256:
        raise Invalid(f"The backup {base.name} is damaged: its manifest is not the one that was written with it.")
    try:
        _pg_verify(base.path, base.major)
    except Unavailable as error:
        raise Invalid(f"The backup {base.name} is damaged: {error.message}") from error


def forget_base(base: Base) -> None:
    """Remove a backup; its record goes first, so that half of one never counts."""
    (folder("base") / f"{base.name}.json").unlink(missing_ok=True)
    shutil.rmtree(base.path, ignore_errors=True)


def _copy(source: programs.Source, server: wal.Server, stream: wal.Stream | None, parent: Base | None) -> Base:
    """Let pg_basebackup copy into a draft, check it, and give it its name."""
    home = folder("base")
    for leftover in home.glob(".draft-*"):
        shutil.rmtree(leftover)
    check_space(home, 0 if parent else server.bytes, "The base backup")
    kind = "incremental" if parent else "full"
    name = f"{stamp()}-{kind}"
    draft = home / f".draft-{name}"
    began_at = timezone.now()
    command: list[str | Path] = [
        programs.exact_program("pg_basebackup", server.major, embedded_first=source.is_local),
        f"--dbname={source.conninfo}",
        f"--pgdata={draft}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--manifest-checksums=SHA256",
        f"--label={name}",
        "--no-password",
    ]
    if parent:
        command.append(f"--incremental={parent.path / 'backup_manifest'}")
    try:
        programs.run(command, password=source.password)
        _pg_verify(draft, server.major)
        base = Base(
            name=name,
            kind=kind,
            parent=parent.name if parent else "",
            chain=parent.chain if parent else name,
            system=server.system,
            stream=stream.name if stream else "",
            start_segment=_start_segment(draft),
            version=server.version,
            began_at=began_at,
            finished_at=source.rows("SELECT clock_timestamp()")[0][0],
            size_bytes=tree_bytes(draft),
            manifest_sha256=digest(draft / "backup_manifest"),
            verified_at=timezone.now(),
        )
        draft.rename(base.path)
        sync(home)
        write_json(home / f"{name}.json", to_record(base))
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return base


def _parent(server: wal.Server, stream: wal.Stream | None) -> Base | None:
    """Return what an incremental backup would build on: the newest of the same unbroken stream."""
    if stream is None or not server.summarizes:
        return None
    return next((base for base in bases() if base.stream == stream.name and base.version == server.version), None)


def _why_no_increment(server: wal.Server, stream: wal.Stream | None) -> str:
    if server.major < 17:
        return f"PostgreSQL {server.major} makes no incremental backups; 17 and newer do."
    if not server.summarizes:
        return "Incremental backups need summarize_wal = on in the server's configuration."
    if stream is None:
        return "Incremental backups need a running receiver of WAL (`manage.py receive_wal`)."
    return "There is no full backup yet that an incremental one could build on."


def _chain_began(base: Base) -> datetime:
    return chain_of(base)[0].finished_at


def _pg_verify(path: Path, major: int) -> None:
    programs.run([programs.exact_program("pg_verifybackup", major), "--exit-on-error", "--quiet", path])


def _start_segment(path: Path) -> str:
    """Read from the label in which segment the WAL begins that makes the copy consistent."""
    first = (path / "backup_label").read_text(encoding="utf-8").splitlines()[0]
    return first.rpartition("(file ")[2].rstrip(")")


def to_record(base: Base) -> dict[str, object]:
    """Return what is written down beside a backup."""
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in asdict(base).items()}


def from_record(content: dict[str, Any]) -> Base | None:
    """Return the backup that a record tells of; none when it is damaged."""
    try:
        times = {name: datetime.fromisoformat(content[name]) for name in ("began_at", "finished_at", "verified_at")}
        return Base(**{field.name: content[field.name] for field in fields(Base)} | times)
    except (KeyError, TypeError, ValueError):
        return None


def kept_chains(newest_first: list[Base]) -> list[str]:
    """Return the chains that are kept, of which others are too many."""
    return list(dict.fromkeys(base.chain for base in newest_first))[: settings.HUB_BACKUP_CHAINS]


def _read(path: Path) -> Base | None:
    """Return what a record says; one whose directory is gone is no backup."""
    base = from_record(read_json(path))
    return base if base and base.path.is_dir() else None


def keep() -> None:
    """Forget chains that are no longer kept and WAL that no kept backup needs; pack what stays."""
    with alone("clearing"):
        newest_first = bases()
        kept = kept_chains(newest_first)
        for base in newest_first:
            if base.chain not in kept:
                forget_base(base)
        for place, stream in enumerate(wal.streams()):
            needed = [base.start_segment for base in bases() if base.stream == stream.name]
            if needed:
                wal.forget_before(stream, min(needed, key=lambda name: wal.segment_number(name, stream.segment_bytes)))
            elif place:  # the newest is being written, and its first backup is on its way
                shutil.rmtree(stream.path)
                continue
            wal.compress(stream)
