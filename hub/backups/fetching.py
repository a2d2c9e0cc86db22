"""The way back from the store: what is asked for is brought into the backup directory, and restored from there.

Everything is opened, and so proved to be what was sent, before it appears under its name.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from hub.buckets import Blocks, writing_here
from hub.exceptions import Invalid, NotFound
from hub.launcher.place import write_json
from hub.sealing import SealedReader

from . import base, dumps, files, recovery, wal
from .offsite import PARTIAL, stored_bases, stored_snapshots
from .place import STAMP, check_space, folder, sync
from .sealed import SealedStore

Say = Callable[[str], None]


def bring_database(store: SealedStore, target: recovery.Target, name: str, say: Say) -> str:
    """Bring the base backups and the WAL that lead to the target; returns the name of the backup to begin with."""
    known = stored_bases(store)
    start = recovery.choose(known, target, name, store.store.where)
    links = base.chain_of(start, known)
    check_space(folder(), sum(link.size_bytes for link in links), "What comes from the store")
    for link in links:
        if link.path.is_dir() and (folder("base") / f"{link.name}.json").exists():
            continue
        say(f"fetching {link.name}")
        with writing_here(link.path), _draft(link.path) as draft:
            with store.opened(f"base/{link.name}.tar") as reader:
                _unpack(reader, draft)
            draft.rename(link.path)
        sync(link.path.parent)
        write_json(folder("base") / f"{link.name}.json", base.to_record(link))
    if start.stream and not target.immediate:
        with writing_here(folder("wal", start.stream)):
            _bring_wal(store, start, say)
    return start.name


def bring_snapshot(store: SealedStore, say: Say, name: str = recovery.LATEST) -> files.Snapshot:
    """Bring a snapshot of files."""
    known = stored_snapshots(store.store.names("files/"))
    if name in {recovery.LATEST, "files"} and known:
        name = known[0]
    if name not in known:
        raise NotFound(f"There is no snapshot {name} in {store.store.where}.")
    place = folder("files") / name
    if (place / files.RECORD).exists():
        return files.Snapshot(place)
    say(f"fetching the files of {name}")
    record = store.fetch_json(f"files/{name}.json")
    check_space(folder(), record["size_bytes"], "What comes from the store")
    with writing_here(place), _draft(place) as draft:
        for entry in record["entries"]:
            _place(store, entry, draft)
        draft.rename(place)
    return files.Snapshot(place)


def bring_dump(store: SealedStore, name: str) -> Path:
    """Bring a dump and its checksum; `latest` is the newest."""
    known = stored_dumps(store.store.names("dumps/"))
    if name == recovery.LATEST and known:
        name = known[0]
    if name not in known:
        raise NotFound(f"There is no backup {name} in {store.store.where}.")
    path = folder() / name
    for one in (path.with_name(f"{name}.sha256"), path):
        if not one.exists():
            store.fetch_file(f"dumps/{one.name}", one)
    return path


def stored_dumps(names: dict[str, int]) -> list[str]:
    """Return the dumps among the names of objects, newest first."""
    return sorted((each for name in names if dumps.NAME.fullmatch(each := name.removeprefix("dumps/"))), reverse=True)


def contents(store: SealedStore) -> list[tuple[datetime, str, int, str]]:
    """Return time, kind, size there and name of all that is in the store, newest first."""
    names = store.store.names()
    found = [
        (one.finished_at, one.kind, names.get(f"base/{one.name}.tar", 0), one.name)
        for one in stored_bases(store, names)
    ]
    for name in stored_dumps(names):
        found.append((_stamped(name.removeprefix("hub-")), "dump", names[f"dumps/{name}"], name))
    for name in stored_snapshots(names):
        found.append((_stamped(name), "files", store.fetch_json(f"files/{name}.json")["size_bytes"], name))
    return sorted(found, reverse=True)


def _bring_wal(store: SealedStore, start: base.Base, say: Say) -> None:
    """Bring the stream from the backup's first segment on; what is here already, perhaps newer, stays."""
    top = f"wal/{start.stream}/"
    names = {name.removeprefix(top) for name in store.store.names(top)}
    if not names:
        return
    here = folder("wal", start.stream)
    segments = sorted(name for name in names if wal.SEGMENT.fullmatch(name) and name[8:24] >= start.start_segment[8:])
    say(f"fetching {len(segments)} segments of WAL")
    for name in sorted(names):
        if name.endswith((".history", ".json")) and not (here / name).exists():
            store.fetch_file(top + name, here / name)
    for name in segments:
        plain = name.removesuffix(PARTIAL)
        if any((here / f"{plain}{end}").exists() for end in ("", ".gz", PARTIAL)):
            continue
        if name.endswith(PARTIAL) and plain in names:
            continue
        packed = here / f"{plain}.gz"
        store.fetch_file(top + name, packed)
        written = struct.unpack_from("<I", packed.read_bytes()[:8], 4)[0]
        if name.endswith(PARTIAL):
            draft = here / f".{name}.draft"
            with gzip.open(packed) as source, draft.open("wb") as target:
                shutil.copyfileobj(source, target, 1024**2)
            packed.unlink()
            packed = draft.rename(here / name)
        os.utime(packed, (written, written))


def _place(store: SealedStore, entry: dict[str, Any], top: Path) -> None:
    """Make one file, directory or link of a snapshot as it was."""
    path = top / entry["path"]
    if "target" in entry:
        path.symlink_to(entry["target"])
    elif "content" in entry:
        store.fetch_file(entry["content"], path)
    else:
        path.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.lchown(path, entry["uid"], entry["gid"])
    if "target" not in entry:
        path.chmod(stat.S_IMODE(entry["mode"]))
        os.utime(path, ns=(entry["mtime_ns"], entry["mtime_ns"]))


def _unpack(reader: SealedReader, target: Path) -> None:
    """Unpack a base backup; to the last byte, because the last chunk is what proves that none is missing."""
    stream = cast("IO[bytes]", io.BufferedReader(Blocks(reader.blocks())))
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            archive.extraction_filter = lambda member, path: member  # owners and modes as they were
            for member in archive:
                if not (member.isreg() or member.isdir()) or ".." in Path(member.name).parts or member.name[:1] == "/":
                    raise Invalid(f"The copy in the store holds {member.name}, which is no part of a base backup.")
                archive.extract(member, target)
        while stream.read(1024**2):
            pass
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise Invalid(f"The copy in the store cannot be unpacked: {error}") from error


def _stamped(text: str) -> datetime:
    return datetime.strptime(f"{text.partition('Z')[0]}Z", STAMP).replace(tzinfo=UTC)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A directory beside the one that is to be; what is left of it goes."""
    draft = path.with_name(f".fetch-{path.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
