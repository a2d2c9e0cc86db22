"""The data of workloads: a named volume each, owned by its user, and watched because Docker does not limit it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import docker.errors

from .. import archives
from ..base import EngineError, KeptData, Reason, WorkloadSpec, labels_for
from ..trees import delete, last_change, measure
from .client import Client
from .errors import refusal, unavailable
from .names import LABEL_NAMESPACE, Names, volume_name, workload_of
from .observe import moment

MIB = 1024**2
COUNT_EVERY_SECONDS = 60.0
KEPT_EVERY_SECONDS = 3600.0  # nobody writes there
COUNT_SECONDS = 1.0
COUNT_SECONDS_PER_PASS = 2.0
SPARE_BYTES = 16 * MIB
CLEAR_SECONDS = 60.0
DRAFT, FORMER = ".restored", ".former"


class Volumes:
    """The volumes of one namespace. The agent must see Docker's directory of volumes under the path Docker names."""

    def __init__(self, client: Client, names: Names, state_dir: Path) -> None:
        self.client = client
        self.names = names
        self.book = Book(state_dir / f"{names.namespace}.disk.json")
        self.kept_book = Book(state_dir / f"{names.namespace}.kept.json")

    def ensure(self, spec: WorkloadSpec) -> Path:
        """Make the volume and say where it is. Raises DISK_FULL when its data is too large, or the node is full."""
        name = volume_name(spec.name)
        labels = {**labels_for(spec), LABEL_NAMESPACE: self.names.namespace}
        path = Path(self.client.api.create_volume(name, labels=labels)["Mountpoint"])
        _settle(path)
        facts = os.statvfs(_seen(path))
        if facts.f_bavail * facts.f_frsize < SPARE_BYTES:
            raise EngineError("This node's disk is full.", reason=Reason.DISK_FULL)
        used = measure(path, seconds=COUNT_SECONDS).bytes
        if used > spec.limits.disk_mb * MIB:
            sentence = f"{disk_sentence(used, spec.limits.disk_mb)} Delete files or raise the limit."
            raise EngineError(sentence, reason=Reason.DISK_FULL)
        return path

    def remove(self, workload: str) -> None:
        """Delete a workload's data."""
        try:
            self.client.api.remove_volume(volume_name(workload))
        except docker.errors.APIError as error:
            if error.status_code != 404:
                raise

    def found(self) -> dict[str, Mapping[str, Any]]:
        """Every volume of the namespace by its workload."""
        query = {"label": [f"{LABEL_NAMESPACE}={self.names.namespace}"]}
        volumes = self.client.get("/volumes", filters=query)["Volumes"] or ()
        return {name: one for one in volumes if (name := workload_of(one["Name"]))}

    def pack(self, workload: str, target: Path, going_on: archives.GoingOn) -> None:
        """Write a workload's data to a file."""
        volume = self.found().get(workload)
        if volume is None:
            raise refusal(f"{workload} has no data here.")
        path = Path(volume["Mountpoint"])
        _settle(path)
        archives.pack(_seen(path), target, labels=volume.get("Labels") or {}, going_on=going_on)

    def unpack(self, workload: str, source: Path) -> None:
        """Put a file's content in the place of a workload's data: unpacked beside them, then exchanged."""
        labels = {**archives.labels_of(source), LABEL_NAMESPACE: self.names.namespace}
        path = Path(self.client.api.create_volume(volume_name(workload), labels=labels)["Mountpoint"])
        draft, former = path.with_name(DRAFT), path.with_name(FORMER)
        _settle(path)
        _clear(draft, former)
        draft.mkdir(mode=0o700)
        try:
            archives.unpack(source, draft)
            _seen(path).rename(former)
            draft.rename(path)
        finally:
            _settle(path)
            _clear(draft, former)

    def kept(self, workloads: Callable[[], Collection[str]]) -> list[KeptData]:
        """Volumes of workloads without a container; those are asked for last, because a volume is made first."""
        volumes = self.found()
        present = workloads()
        left = {name: one for name, one in volumes.items() if name not in present}
        places = {name: Path(one["Mountpoint"]) for name, one in left.items()}
        sizes = self.count(places, KEPT_EVERY_SECONDS, self.kept_book)
        return [
            KeptData(
                name,
                created_at=moment(one.get("CreatedAt") or ""),
                changed_at=last_change(places[name]),
                size_bytes=sizes.get(name),
                labels=one.get("Labels") or {},
            )
            for name, one in left.items()
        ]

    def count(
        self, mounts: Mapping[str, Path], every_seconds: float = COUNT_EVERY_SECONDS, book: Book | None = None
    ) -> dict[str, int]:
        """How many bytes the data of each workload takes, counted anew where the last count is old and time allows."""
        book = book or self.book
        deadline = time.monotonic() + COUNT_SECONDS_PER_PASS
        counts = book.read()
        changed = {}
        for name, path in sorted(mounts.items(), key=lambda item: counts.get(item[0], (0, 0))[1]):
            _, at = counts.get(name, (0, 0.0))
            is_fresh = time.time() - every_seconds < at <= time.time()
            if not is_fresh and time.monotonic() < deadline:
                changed[name] = (measure(path, seconds=COUNT_SECONDS).bytes, time.time())
        if changed:
            counts = {name: known for name, known in (counts | changed).items() if name in mounts}
            book.write(counts)
        return {name: counts[name][0] for name in mounts if name in counts}


def _seen(path: Path) -> Path:
    if not path.is_dir():
        raise unavailable(f"The agent does not see Docker's volumes under {path.parent.parent}.")
    return path


def _settle(path: Path) -> None:
    """Undo an exchange of data that was cut off between its two steps."""
    former = path.with_name(FORMER)
    if former.exists() and not path.exists():
        former.rename(path)


def _clear(*trees: Path) -> None:
    for tree in trees:
        while not delete(tree, seconds=CLEAR_SECONDS):
            pass


def give(path: Path, uid: int, gid: int) -> None:
    """Give a volume that is still root's to the workload's user, with what Docker has copied into it from the image.

    Docker makes volumes for root, whom a workload never is. Once given, a volume stays as its user leaves it.
    """
    if path.stat().st_uid != 0 or uid == 0:
        return
    for directory, names, files in os.walk(path):
        for name in [*names, *files]:
            os.chown(os.path.join(directory, name), uid, gid, follow_symlinks=False)
    path.chmod(0o750)
    os.chown(path, uid, gid, follow_symlinks=False)


class Book:
    """The last counts, kept on the node so that every process of the agent can tell them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, tuple[int, float]]:
        """Bytes and time of the last count by workload."""
        try:
            counts: Any = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(name): (int(used), float(at)) for name, (used, at) in counts.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def write(self, counts: Mapping[str, tuple[int, float]]) -> None:
        """Replace the counts; a node that cannot keep them is only told less often."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False) as file:
                json.dump(counts, file)
            os.replace(file.name, self.path)


def over_limit(counts: Mapping[str, tuple[int, float]], workload: str, disk_mb: int) -> str:
    """What to tell about a workload whose data takes more than it may, or ""."""
    used, _ = counts.get(workload, (0, 0.0))
    return disk_sentence(used, disk_mb) if used > disk_mb * MIB else ""


def disk_sentence(used_bytes: int, disk_mb: int) -> str:
    return f"Its data takes {used_bytes // MIB} MB; the limit is {disk_mb} MB."
