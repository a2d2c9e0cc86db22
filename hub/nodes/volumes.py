"""Copies of the data that lie with an engine, such as Docker's volumes: made by the agent, one file for each workload.

They go to `volumes/NODE` of the data directory, which the nightly snapshot of files holds with all the rest
(`hub.backups.files`). A file appears when it is complete, and stays the same file while the data are the same. What
one round has no time for is left to a task of its own, so that a node with much data is never cut off half-way.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts import audit
from accounts.actors import SYSTEM
from hub.backups import reports
from hub.backups.place import digest, stamp
from hub.engines import capabilities_of
from hub.engines.base import Engine, EngineError, Reason
from hub.exceptions import NotFound
from hub.launcher.place import read_json, write_json

from . import tasks
from .choices import DesiredStatus, TaskVerb
from .kept import is_live, workloads_named
from .models import Node, NodeTask

FOLDER, END, BOOK = "volumes", ".tar.gz", "copied.json"
ROUND_SECONDS = 600.0
NOTE_SECONDS = 10.0
Say = Callable[[str], None]


def folder(node: Node) -> Path:
    return Path(settings.HUB_DATA, FOLDER, node.name)


def ask_all() -> None:
    """Have every agent copy what lies with its engine; one that is still at it is not asked again."""
    since = timezone.now().isoformat()
    for node in Node.objects.filter(is_enabled=True):
        open_ones = NodeTask.objects.open().filter(node=node, verb=TaskVerb.BACK_UP_DATA)
        if capabilities_of(node.engine).archives and not open_ones.exists():
            tasks.ask(node, TaskVerb.BACK_UP_DATA, actor=SYSTEM, since=since)


def do_back_up(task: NodeTask, engine: Engine) -> str:
    """Copy what was not copied since the task was first asked, and forget copies of data that are no more."""
    node, since = task.node, str(task.arguments["since"])
    names = sorted(engine.data())
    book = _read_book(node)
    began, copied = time.monotonic(), 0
    for name in names:
        if book.get(name, {}).get("at", "") >= since:
            continue
        if copied and time.monotonic() - began > ROUND_SECONDS:
            tasks.ask(node, TaskVerb.BACK_UP_DATA, actor=SYSTEM, since=since, after=name)
            return f"{_data_of(copied)} copied; the rest follows."
        book[name] = {"at": timezone.now().isoformat(), "error": _copied(task, engine, name)}
        copied += 1
        _write_book(node, book)
    for path in folder(node).glob(f"*{END}"):
        if path.name.removesuffix(END) not in names:
            path.unlink()
    book = {name: entry for name, entry in book.items() if name in names}
    _write_book(node, book)
    return _report(node, book)


def restore(node: Node, engine: Engine, names: Sequence[str], say: Say) -> int:
    """Bring data back from their copies, each beside what was there; says of each what became of it, and how many are
    back. Without names all are. Works on the node's own machine, and before the database is back."""
    found = {path.name.removesuffix(END): path for path in sorted(folder(node).glob(f"*{END}"))}
    if missing := sorted(set(names) - set(found)) or (["any workload"] if not found else []):
        raise NotFound(f"There is no copy of the data of {', '.join(missing)} in {folder(node)}.")
    former = Path(settings.HUB_DATA, f"before-{stamp()}", FOLDER, node.name)
    present, back = engine.data(), []
    for name in names or found:
        try:
            if why := _in_the_way(name, engine):
                raise EngineError(why, reason=Reason.REFUSED)
            if name in present:
                former.mkdir(mode=0o700, parents=True, exist_ok=True)
                engine.export_data(name, former / found[name].name, going_on=lambda: True)
            engine.import_data(name, found[name])
        except EngineError as error:
            say(f"{name} stays as it is: {error}")
        else:
            say(f"{name} is back")
            back.append(name)
    if former.exists():
        say(f"what was there before is in {former}")
    audit.record(SYSTEM, "node.data_restored", node, names=back)
    return len(back)


def _copied(task: NodeTask, engine: Engine, name: str) -> str:
    """Copy the data of one workload; says what went wrong, or ""."""
    final, noted = folder(task.node) / f"{name}{END}", 0.0

    def going_on() -> bool:
        nonlocal noted
        if time.monotonic() - noted < NOTE_SECONDS:
            return True
        noted = time.monotonic()
        return tasks.note_progress(task, f"Copying the data of {name}")

    # Beside the folder that snapshots copy, so that none holds half a file.
    drafts = Path(settings.HUB_DATA, f".volumes-{task.node.name}")
    shutil.rmtree(drafts, ignore_errors=True)
    drafts.mkdir(mode=0o700)
    try:
        draft = drafts / final.name
        engine.export_data(name, draft, going_on=going_on)
        if not final.exists() or digest(final) != digest(draft):
            _give(draft)
            draft.replace(_made(final.parent) / final.name)
    except EngineError as error:
        if error.reason is Reason.CANCELLED:
            raise
        return str(error) if name in engine.data() else ""  # removed at just this moment
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
    return ""


def _report(node: Node, book: dict[str, Any]) -> str:
    """Leave the report of a whole round. Raises what went wrong."""
    with reports.reported("volumes") as report:
        report.name = node.name
        report.bytes = sum(path.stat().st_size for path in folder(node).glob(f"*{END}"))
        wrong = [f"{name}: {entry['error']}" for name, entry in sorted(book.items()) if entry["error"]]
        if wrong:
            text = f"{len(wrong)} of {len(book)} workloads' data on {node.name} were not copied. {' '.join(wrong)}"
            raise EngineError(text[:1000])
        report.detail = f"{_data_of(len(book))} copied."
    return report.detail


def _data_of(count: int) -> str:
    return f"Data of {count} workload{'' if count == 1 else 's'}"


def _in_the_way(name: str, engine: Engine) -> str:
    """Why data must not be replaced now, or ""."""
    row = workloads_named([name]).get(name)
    if row is not None and is_live(row) and row.desired_status == DesiredStatus.RUNNING:
        return f"{row.name} shall run: stop it first."
    seen = engine.inspect(name)
    return "It is running: stop it first." if seen is not None and seen.is_running else ""


def _read_book(node: Node) -> dict[str, Any]:
    return dict(read_json(folder(node) / BOOK))


def _write_book(node: Node, book: dict[str, Any]) -> None:
    path = _made(folder(node)) / BOOK
    write_json(path, book)
    _give(path)


def _made(path: Path) -> Path:
    """Make a directory that the scheduler can read."""
    for each in (path.parent, path):
        if not each.is_dir():
            each.mkdir(mode=0o700)
            _give(each)
    return path


def _give(path: Path) -> None:
    """Give a file to the data directory's owner: the agent may be root where the scheduler, who copies it, is not."""
    if os.geteuid() == 0:
        owner = settings.HUB_DATA.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
