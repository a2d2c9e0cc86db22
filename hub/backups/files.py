"""What a hub needs beside its database: bundles, files of challenges, workloads' data, and the keys.

Data that lie with an engine (Docker's volumes) are in `volumes/`, where `hub.nodes.volumes` puts them each night.

A snapshot is a directory of plain files; what has not changed since the one before is the same file on disk (a hard
link), so that many snapshots cost little more than one. The keys are in it only under a passphrase.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from django.conf import settings

from hub.exceptions import Invalid, NotFound
from hub.launcher.place import read_json, write_json

from . import reports
from .place import STAMP, check_space, digest, folder, stamp

logger = logging.getLogger(__name__)

KEPT = ("bundles", "challenge-files", "workloads", "volumes")
KEYS, RECORD = "keys.sealed", "snapshot.json"
PURPOSE = b"kutanga-hub keys"
SCRYPT = {"length": 32, "n": 2**15, "r": 8, "p": 1}
Sums = dict[str, str]


@dataclass(frozen=True)
class Snapshot:
    """A finished snapshot."""

    path: Path

    @property
    def made_at(self) -> datetime:
        return datetime.strptime(self.path.name, STAMP).replace(tzinfo=UTC)

    @property
    def sums(self) -> Sums:
        return dict(read_json(self.path / RECORD).get("sums", {}))

    @property
    def size_bytes(self) -> int:
        return sum((self.path / each).stat().st_size for each in self.sums)

    @property
    def has_keys(self) -> bool:
        return (self.path / KEYS).exists()


def snapshots() -> list[Snapshot]:
    """Return the finished snapshots, newest first."""
    return [Snapshot(path.parent) for path in sorted(folder("files").glob(f"[!.]*/{RECORD}"), reverse=True)]


def find_snapshot(at: datetime | None = None) -> Snapshot:
    """Return the newest snapshot, or the newest that is not later than a time."""
    for each in snapshots():
        if at is None or each.made_at <= at:
            return each
    raise NotFound(f"There is no snapshot of files in {folder('files')}{f' before {at}' if at else ''}.")


def run_snapshot() -> None:
    """Make the nightly snapshot."""
    with reports.reported("files") as report:
        made = take_snapshot()
        report.name, report.bytes = made.path.name, made.size_bytes
        report.detail = f"{len(made.sums)} files, {'with' if made.has_keys else 'without'} the keys."


def take_snapshot() -> Snapshot:
    """Copy what is new or changed and link the rest; a file that vanishes meanwhile is left out."""
    home = folder("files")
    for leftover in home.glob(".draft-*"):
        shutil.rmtree(leftover)
    before = next(iter(snapshots()), None)
    known = before.sums if before else {}
    check_space(home, _new_bytes(before), "The snapshot of files")
    name = stamp()
    draft = home / f".draft-{name}"
    draft.mkdir(mode=0o700)
    sums: Sums = {}
    try:
        for source in _sources():
            relative = str(source.relative_to(settings.HUB_DATA))
            old = before.path / relative if before and relative in known else None
            try:
                new = draft / relative
                if _take(source, new, old):
                    sums[relative] = known[relative] if old and _is_same(old, new) else digest(new)
            except FileNotFoundError:
                logger.debug("%s went while it was copied", source)
        _seal_keys(draft)
        write_json(draft / RECORD, {"sums": sums})
        draft.rename(home / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for each in snapshots()[settings.HUB_BACKUPS_KEPT :]:
        shutil.rmtree(each.path)
    return Snapshot(home / name)


def verify_snapshot(snapshot: Snapshot) -> None:
    """Refuse a snapshot in which a file is missing or is not what was copied. Raises Invalid."""
    for relative, expected in snapshot.sums.items():
        path = snapshot.path / relative
        if not path.is_file() or digest(path) != expected:
            raise Invalid(f"The snapshot {snapshot.path.name} is damaged: {relative} is not the file that was copied.")


def restore_files(snapshot: Snapshot) -> Path | None:
    """Put the snapshot's directories in the place of ours; returns where the former ones are kept."""
    verify_snapshot(snapshot)
    data: Path = settings.HUB_DATA
    found = [name for name in KEPT if (snapshot.path / name).is_dir()]
    check_space(data, snapshot.size_bytes, "The restore of files")
    kept = data / f"before-{stamp()}"
    for name in found:
        draft = data / f".{name}-restored"
        shutil.rmtree(draft, ignore_errors=True)
        _copy_tree(snapshot.path / name, draft)
        if (data / name).exists():
            kept.mkdir(mode=0o700, exist_ok=True)
            (data / name).rename(kept / name)
        draft.rename(data / name)
    return kept if kept.exists() else None


def restore_keys(snapshot: Snapshot) -> bool:
    """Put the snapshot's keys into `secrets.json`, which is kept beside it; says whether they were others than ours."""
    keys = open_keys(snapshot, settings.HUB_BACKUP_PASSPHRASE)
    path = settings.HUB_DATA / "secrets.json"
    ours = read_json(path)
    if all(ours.get(name) == value for name, value in keys.items()):
        return False
    if path.exists():
        path.rename(path.with_name(f"secrets.json.before-{stamp()}"))
    write_json(path, {**ours, **keys})
    return True


def keys_from_elsewhere(snapshot: Snapshot) -> list[str]:
    """Name the keys of this hub that its environment gives, and that are not those of then."""
    keys, ours = open_keys(snapshot, settings.HUB_BACKUP_PASSPHRASE), current_keys()
    given = [name for name in keys if os.environ.get(name) or os.environ.get(f"{name}_FILE")]
    return [name for name in given if keys[name] != ours.get(name)]


def current_keys() -> dict[str, str]:
    """Return signing key and ring as the environment would name them."""
    ring = ",".join(f"{name}:{base64.urlsafe_b64encode(key).decode()}" for name, key in settings.HUB_KEY_RING.items())
    return {"HUB_SECRET_KEY": settings.SECRET_KEY, "HUB_SECRET_KEYS": ring}


def open_keys(snapshot: Snapshot, passphrase: str) -> dict[str, str]:
    """Decrypt the keys. Raises Invalid when there are none or the passphrase is another."""
    sealed = read_json(snapshot.path / KEYS)
    if not sealed or not passphrase:
        raise Invalid("No keys in the snapshot, or HUB_BACKUP_PASSPHRASE is not set: bring secrets.json along.")
    salt, nonce, body = (base64.b64decode(sealed[name]) for name in ("salt", "nonce", "body"))
    try:
        plain = AESGCM(derive_key(passphrase, salt)).decrypt(nonce, body, PURPOSE)
    except InvalidTag:
        raise Invalid("The keys do not open: HUB_BACKUP_PASSPHRASE is not the one of then.") from None
    content: dict[str, str] = json.loads(plain)
    return content


def _seal_keys(draft: Path) -> None:
    """Encrypt signing key and ring; without a passphrase they stay out, because who has them reads every secret."""
    if not settings.HUB_BACKUP_PASSPHRASE:
        return
    plain = json.dumps(current_keys()).encode()
    salt, nonce = os.urandom(16), os.urandom(12)
    body = AESGCM(derive_key(settings.HUB_BACKUP_PASSPHRASE, salt)).encrypt(nonce, plain, PURPOSE)
    parts = {"salt": salt, "nonce": nonce, "body": body}
    write_json(draft / KEYS, {name: base64.b64encode(part).decode() for name, part in parts.items()})


def derive_key(passphrase: str, salt: bytes) -> bytes:
    """Make a key of a passphrase, slowly enough that guessing does not pay."""
    return Scrypt(salt=salt, **SCRYPT).derive(passphrase.encode())


def _sources() -> Iterator[Path]:
    """Yield everything that is kept, directories before what is in them; links are not followed."""
    for name in KEPT:
        top = settings.HUB_DATA / name
        if not top.is_dir() or top.is_symlink():
            continue
        yield top
        for parent, folders, names in os.walk(top):
            yield from (Path(parent, each) for each in (*folders, *names))


def _new_bytes(before: Snapshot | None) -> int:
    """Count what has to be copied because no link will do."""
    count = 0
    for source in _sources():
        try:
            info = source.lstat()
        except FileNotFoundError:
            continue
        old = before.path / source.relative_to(settings.HUB_DATA) if before else None
        if stat.S_ISREG(info.st_mode) and not (old and _looks_same(info, old)):
            count += info.st_size
    return count


def _take(source: Path, target: Path, old: Path | None) -> bool:
    """Copy one entry with its mode, times and owner; True for a file."""
    info = source.lstat()
    if stat.S_ISDIR(info.st_mode):
        target.mkdir()
    elif stat.S_ISLNK(info.st_mode):
        target.symlink_to(source.readlink())
        _own(target, info)
        return False
    elif not stat.S_ISREG(info.st_mode):  # sockets and pipes mean nothing elsewhere
        return False
    elif old and _looks_same(info, old):
        target.hardlink_to(old)
        return True
    else:
        shutil.copyfile(source, target)
    _own(target, info)
    target.chmod(stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
    return stat.S_ISREG(info.st_mode)


def _looks_same(info: os.stat_result, old: Path) -> bool:
    """Whether a file has not been written since: what rsync goes by, and the owner and mode, which a link shares."""
    try:
        then = old.lstat()
    except FileNotFoundError:
        return False
    facts = [(each.st_size, each.st_mtime_ns, each.st_mode, each.st_uid, each.st_gid) for each in (info, then)]
    return facts[0] == facts[1]


def _is_same(old: Path, new: Path) -> bool:
    return old.exists() and old.samefile(new)


def _own(path: Path, info: os.stat_result) -> None:
    if os.geteuid() == 0:
        os.lchown(path, info.st_uid, info.st_gid)


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a directory of a snapshot, with modes, times and owners."""
    _take(source, target, None)
    for parent, folders, names in os.walk(source):
        for each in (*folders, *names):
            path = Path(parent, each)
            _take(path, target / path.relative_to(source), None)
