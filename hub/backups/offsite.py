"""Copies of all backups in a store elsewhere, sealed: sent as they are made, and forgotten as they are here.

    base/NAME.tar, base/NAME.json    a base backup, packed; its record is sent last, without it the copy does not count
    wal/STREAM/SEGMENT[.partial]     packed WAL; the segment that is being written goes anew every minute
    dumps/NAME, dumps/NAME.sha256
    files/STAMP.json, files/data/…   what a snapshot holds, and each content once, however many snapshots have it
    owner.json                       whose backups these are

Local backups never wait for the store: when it is away, they go on and the reports say that nothing is sent.
"""

from __future__ import annotations

import gzip
import logging
import math
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from hub.exceptions import Conflict
from hub.launcher.place import read_json, write_json
from hub.logs import scrub
from hub.models import BackupReport

from . import base, dumps, files, programs, wal
from .place import digest, folder
from .sealed import SealedStore
from .store import open_store

logger = logging.getLogger(__name__)

OWNER = "owner.json"
PARTIAL = ".partial"
SYSTEM = "SELECT system_identifier::text FROM pg_control_system()"


def run_send_wal() -> None:
    """Send new WAL; runs every minute, which is what may be lost when this machine is."""
    if settings.HUB_BACKUP_STORE and programs.may_replicate():
        with _reported(BackupReport.Kind.STORE_WAL) as report:
            report.bytes = send_wal(claim_store())


def run_send_backups() -> None:
    """Send what is new of everything else, then forget what is no longer kept."""
    if settings.HUB_BACKUP_STORE:
        with _reported(BackupReport.Kind.STORE) as report:
            store = claim_store()
            report.bytes = send_bases(store) + send_dumps(store) + send_snapshots(store)
            forget(store)


def claim_store() -> SealedStore:
    """Return the store. Raises Conflict when it holds the backups of another database: a new, empty hub on the machine
    that came for a lost one must not push out what is to be restored from there."""
    store = SealedStore(open_store())
    found = programs.source().rows(SYSTEM) if programs.may_replicate() else _ask_hub()
    system = found[0][0]
    if OWNER not in store.store.names(OWNER):
        store.put_json(OWNER, {"system": system})
    elif store.fetch_json(OWNER)["system"] != system:
        raise Conflict(
            f"{store.store.where} holds the backups of another database, so nothing is sent there: restore from it "
            "with --store, or name an empty place in HUB_BACKUP_STORE."
        )
    return store


def send_bases(store: SealedStore) -> int:
    """Send base backups, the oldest first: one that is there has all it builds on."""
    there, found, sent = store.store.names("base/"), base.bases(), 0
    kept = base.kept_chains(found)
    for one in reversed(found):
        if one.chain in kept and f"base/{one.name}.json" not in there:
            with _packed(one.path) as draft:
                sent += store.put_file(f"base/{one.name}.tar", draft)
            sent += store.put_json(f"base/{one.name}.json", base.to_record(one))
    return sent


def send_wal(store: SealedStore) -> int:
    """Send the segments that are not there, in order, and the one that is being written when it has changed."""
    sent, found = 0, base.bases()
    kept = base.kept_chains(found)
    for stream in wal.streams():
        there = store.store.names(f"wal/{stream.name}/")
        for path in (stream.path / "stream.json", *stream.histories()):
            if f"wal/{stream.name}/{path.name}" not in there:
                sent += store.put_file(f"wal/{stream.name}/{path.name}", path)
        starts = [one.start_segment for one in found if one.stream == stream.name and one.chain in kept]
        first = min((wal.segment_number(name, stream.segment_bytes) for name in starts), default=0)
        for segment in stream.segments():
            if segment.number >= first:
                sent += _send_segment(store, stream, segment, there)
    return sent


def send_dumps(store: SealedStore) -> int:
    """Send dumps, each after its checksum."""
    there, sent = store.store.names("dumps/"), 0
    for one in reversed(dumps.list_backups()[: settings.HUB_BACKUPS_KEPT]):
        if f"dumps/{one.path.name}" not in there:
            sent += store.put_file(f"dumps/{one.path.name}.sha256", one.path.with_name(f"{one.path.name}.sha256"))
            sent += store.put_file(f"dumps/{one.path.name}", one.path)
    return sent


def send_snapshots(store: SealedStore) -> int:
    """Send snapshots of files: contents that are not there, then the record that names them."""
    there, sent = set(store.store.names("files/")), 0
    for snapshot in reversed(files.snapshots()):
        name = f"files/{snapshot.path.name}.json"
        if name in there:
            continue
        entries, sums = [], snapshot.sums
        for path in sorted(snapshot.path.rglob("*")):
            entry = _describe(path, snapshot.path, sums)
            if "content" in entry:
                entry["content"] = content = f"files/data/{store.name_of(entry['content'])}"
                if content not in there:
                    sent += store.put_file(content, path)
                    there.add(content)
            entries.append(entry)
        sent += store.put_json(name, {"entries": entries, "size_bytes": snapshot.size_bytes})
    return sent


def forget(store: SealedStore) -> None:
    """Remove what is no longer kept: records first, so that half of something never counts."""
    names = store.store.names()
    found = stored_bases(store, names)
    chains = base.kept_chains(found)
    kept = [one for one in found if one.chain in chains]
    whole = {f"base/{one.name}.{end}" for one in kept for end in ("json", "tar")}
    gone = sorted(name for name in names if name.startswith("base/") and name not in whole)
    newest = next(iter(wal.streams()), None)
    for name in sorted(name for name in names if name.startswith("wal/")):
        stream, _, segment = name.removeprefix("wal/").partition("/")
        starts = [one.start_segment for one in kept if one.stream == stream]
        if (not starts and not (newest and newest.name == stream)) or (
            starts and wal.SEGMENT.fullmatch(segment) and segment[8:24] < min(start[8:] for start in starts)
        ):
            gone.append(name)
    listed = sorted((name for name in names if dumps.NAME.fullmatch(name.removeprefix("dumps/"))), reverse=True)
    for name in listed[settings.HUB_BACKUPS_KEPT :]:
        gone += [name, f"{name}.sha256"]
    snapshots = stored_snapshots(names)
    if old := snapshots[settings.HUB_BACKUPS_KEPT :]:
        gone += [f"files/{name}.json" for name in old]
        used = {
            entry.get("content")
            for name in snapshots[: settings.HUB_BACKUPS_KEPT]
            for entry in store.fetch_json(f"files/{name}.json")["entries"]
        }
        gone += [name for name in names if name.startswith("files/data/") and name not in used]
    store.store.remove(gone)


def stored_bases(store: SealedStore, names: dict[str, int] | None = None) -> list[base.Base]:
    """Return the base backups in the store, newest first."""
    names = store.store.names("base/") if names is None else names
    records = (name for name in names if name.startswith("base/") and name.endswith(".json"))
    found = (base.from_record(store.fetch_json(name)) for name in records)
    return sorted((one for one in found if one), key=lambda one: one.finished_at, reverse=True)


def stored_snapshots(names: dict[str, int]) -> list[str]:
    """Return the names of the snapshots among those of objects, newest first."""
    records = (name for name in names if name.startswith("files/") and name.endswith(".json"))
    return sorted((name.removeprefix("files/").removesuffix(".json") for name in records), reverse=True)


def _send_segment(store: SealedStore, stream: wal.Stream, segment: wal.Segment, there: dict[str, int]) -> int:
    """Send one segment packed, with the time of its last write in the packing's head."""
    name = f"wal/{stream.name}/{segment.name}"
    if name in there:
        return 0
    state = folder() / ".sent.json"
    try:
        written = segment.path.stat().st_mtime_ns
        mark = {"where": store.store.where, "name": name, "written": written}
        if segment.is_partial and f"{name}{PARTIAL}" in there and read_json(state) == mark:
            return 0
        if segment.path.suffix == ".gz":
            return store.put_file(name, segment.path)
        with _transit() as draft:
            with (
                segment.path.open("rb") as plain,
                draft.open("wb") as file,
                gzip.GzipFile("", "wb", 1, file, math.ceil(written / 1e9)) as packed,
            ):
                shutil.copyfileobj(plain, packed, 1024**2)
            sent = store.put_file(f"{name}{PARTIAL}" if segment.is_partial else name, draft)
    except FileNotFoundError:  # it was finished or packed at just this moment: next time
        return 0
    if segment.is_partial:
        write_json(state, mark)
    elif f"{name}{PARTIAL}" in there:
        store.store.remove([f"{name}{PARTIAL}"])
    return sent


def _describe(path: Path, top: Path, sums: files.Sums) -> dict[str, Any]:
    """Return what a snapshot's record says of one entry."""
    info, relative = path.lstat(), str(path.relative_to(top))
    entry: dict[str, Any] = {"path": relative, "mode": info.st_mode, "uid": info.st_uid, "gid": info.st_gid}
    entry["mtime_ns"] = info.st_mtime_ns
    if path.is_symlink():
        return {**entry, "target": os.readlink(path)}
    if path.is_dir():
        return entry
    return {**entry, "content": sums.get(relative) or digest(path)}


@contextmanager
def _packed(path: Path) -> Iterator[Path]:
    with _transit() as draft:
        with tarfile.open(draft, "w:gz", compresslevel=1) as archive:
            archive.add(path, arcname=".")
        yield draft


@contextmanager
def _transit() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".transit-", dir=folder()) as place:
        yield Path(place, "packed")


def _ask_hub() -> list[tuple[str]]:
    with connection.cursor() as cursor:
        cursor.execute(SYSTEM)
        return list(cursor.fetchall())


@contextmanager
def _reported(kind: BackupReport.Kind) -> Iterator[BackupReport]:
    """Write down how it went; as long as it goes as the time before, that report is brought up to date."""
    report, began = BackupReport(kind=kind), time.monotonic()
    try:
        yield report
        report.is_good = True
    except Exception as error:
        report.detail = scrub(str(error))[:1000]
        raise
    finally:
        report.seconds, report.name = time.monotonic() - began, settings.HUB_BACKUP_STORE[:100]
        last = BackupReport.objects.filter(kind=kind).first()
        if last and (last.is_good, last.name) == (report.is_good, report.name):
            report.pk, report.at = last.pk, timezone.now()
        report.save()
