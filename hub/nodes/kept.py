"""Data that removed workloads have left on a node: found by the agent, removed only when somebody asks by name.

An orphan's data are kept, because nobody has asked to lose them: its row may have been lost with a restored database.
So nothing here is deleted by itself. Data of a live row are not shown, and the agent looks again before it deletes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actors import SYSTEM
from accounts.models import User
from accounts.permissions import require
from hub.engines import capabilities_of
from hub.engines.base import LABEL_OWNER, Engine, EngineError, KeptData, Reason, named_workload
from hub.exceptions import Conflict, Invalid

from . import tasks
from .choices import ObservedStatus, ReportKind, TaskVerb
from .models import Node, NodeReport, NodeTask
from .workloads import Workload, workload_model

MIB = 1024**2


@dataclass(frozen=True)
class Kept:
    """The data of one removed workload. `title` is what it was called, where its row is still there."""

    name: str
    title: str
    owner: str
    size_bytes: int | None
    created_at: datetime | None
    changed_at: datetime | None
    deleted_at: datetime | None

    @property
    def size_mb(self) -> float | None:
        return None if self.size_bytes is None else self.size_bytes / MIB

    @property
    def why(self) -> str:
        return "Its row says deleted." if self.deleted_at else "The database knows nothing of it."


@dataclass(frozen=True)
class Cellar:
    """What the agent last found."""

    kept: tuple[Kept, ...] = ()
    taken_at: datetime | None = None
    error: str = ""

    @property
    def size_mb(self) -> float:
        return sum(one.size_mb or 0.0 for one in self.kept)


@dataclass(frozen=True)
class Preview:
    """What a removal would delete; nothing brings it back."""

    kept: tuple[Kept, ...]

    @property
    def size_mb(self) -> float:
        return sum(one.size_mb or 0.0 for one in self.kept)


def keeps_data(node: Node) -> bool:
    """Whether the node's engine has data that can be left behind."""
    return capabilities_of(node.engine).volumes


def cellar(node: Node) -> Cellar:
    """What the node holds without a live row, the largest first."""
    report = NodeReport.objects.filter(node=node, kind=ReportKind.DATA).first()
    if report is None:
        return Cellar()
    workloads = workloads_named([row["name"] for row in report.rows])
    owners = _owners([row["owner"] for row in report.rows])
    kept = [_kept(row, workloads.get(row["name"]), owners) for row in report.rows]
    # A row that has come back since, with a restored database, owns its data again.
    kept = [one for one in kept if not is_live(workloads.get(one.name))]
    kept.sort(key=lambda one: (-(one.size_bytes or 0), one.name))
    return Cellar(tuple(kept), report.taken_at, report.error)


# --- Asked by people ----------------------------------------------------------------------------------------------


def ask_list(node: Node, *, actor: Any) -> NodeTask:
    """Have the agent look again."""
    require(actor, "nodes.view", node)
    _need_data(node)
    with transaction.atomic():
        return tasks.ask(node, TaskVerb.LIST_DATA, actor=actor)


def preview_removal(node: Node, names: Sequence[str]) -> Preview:
    """What would be deleted. Whatever is not known to be left behind is refused."""
    _need_data(node)
    by_name = {one.name: one for one in cellar(node).kept}
    for name in names:
        if name not in by_name:
            raise Invalid(f"No data are left here under {name[:80]}; look again.", field="names")
    return Preview(tuple(by_name[name] for name in dict.fromkeys(names)))


def ask_removal(node: Node, *, actor: Any, names: Sequence[str], confirm: str) -> NodeTask:
    """Have data deleted for good; `confirm` is the node's name, typed by who asks."""
    require(actor, "nodes.change", node)
    preview = preview_removal(node, names)
    if not preview.kept:
        raise Invalid("Name the data that shall be deleted.", field="names")
    if confirm != node.name:
        raise Invalid(f"Type {node.name} to delete them for good.", field="confirm")
    chosen = [one.name for one in preview.kept]
    titles = [one.title for one in preview.kept]
    subject = titles[0] if len(titles) == 1 else f"{len(titles)} removed workloads"
    with transaction.atomic():
        task = tasks.ask(node, TaskVerb.REMOVE_DATA, actor=actor, subject=subject, names=chosen)
        audit.record(actor, "node.data_removal_asked", node, names=chosen, size_mb=round(preview.size_mb))
    return task


def _need_data(node: Node) -> None:
    if not keeps_data(node):
        raise Conflict(f"{node.get_engine_display()} keep no data.", code="no_data")


# --- Done by the agent --------------------------------------------------------------------------------------------


def report(node: Node, engine: Engine) -> int:
    """Look what is left and store it; says how many."""
    defaults: dict[str, Any]
    try:
        found = engine.kept_data()
        workloads = workloads_named([one.name for one in found])
        rows = [_row(one) for one in found if _is_told(one.name) and not is_live(workloads.get(one.name))]
        defaults = {"rows": rows, "error": "", "taken_at": timezone.now()}
    except EngineError as error:
        NodeReport.objects.update_or_create(node=node, kind=ReportKind.DATA, defaults={"error": str(error)})
        raise
    NodeReport.objects.update_or_create(node=node, kind=ReportKind.DATA, defaults=defaults)
    return len(rows)


def do_list(task: NodeTask, engine: Engine) -> str:
    count = report(task.node, engine)
    return f"Data of {count} removed workload{'' if count == 1 else 's'}." if count else "Nothing is left."


def do_remove(task: NodeTask, engine: Engine) -> str:
    """Delete what was asked for, one by one, each after one more look; say what stays and why."""
    kept, gone, going = [], [], []
    for name in task.arguments["names"]:
        tasks.note_progress(task, f"Deleting the data of {name}")
        if why := _in_the_way(name, engine):
            kept.append(f"{name} stays: {why}")
            continue
        try:
            engine.remove(name)
        except EngineError as error:
            if _is_going(name, engine, error):
                going.append(name)
            else:
                kept.append(f"{name} stays: {error}")
        else:
            gone.append(name)
    report(task.node, engine)
    audit.record(task.actor or SYSTEM, "node.data_removed", task.node, names=gone + going, kept=kept)
    if kept and not gone and not going:
        raise EngineError("; ".join(kept), reason=Reason.REFUSED, permanent=True)
    under_way = [f"those of {len(going)} are being deleted by the cluster"] if going else []
    return "; ".join([f"Data of {len(gone)} deleted", *under_way, *kept]) + "."


def _is_going(name: str, engine: Engine, error: EngineError) -> bool:
    """Whether what was not deleted in time is on its way out: a cluster takes as long as it needs."""
    try:
        return error.reason == Reason.TIMED_OUT and all(one.name != name for one in engine.kept_data())
    except EngineError:
        return False


def _in_the_way(name: str, engine: Engine) -> str:
    """Why data must not be deleted now, or ""."""
    if is_live(workloads_named([name]).get(name)):
        return "a live row stands behind it"
    if engine.inspect(name) is not None:
        return "the engine has a workload with them again"
    return ""


def _is_told(name: str) -> bool:
    """Whether a name says whose data it is; what does not is none of ours to delete."""
    try:
        named_workload(name)
    except ValueError:
        return False
    return True


def workloads_named(names: Sequence[str]) -> dict[str, Workload]:
    """The rows behind names, on whatever node they are, one query for each kind."""
    ids: dict[str, list[Any]] = {}
    for name in names:
        kind, pk = named_workload(name) if _is_told(name) else ("", None)
        ids.setdefault(kind, []).append(pk)
    found = {}
    for kind, pks in ids.items():
        try:
            model = workload_model(kind)
        except LookupError:
            continue
        found.update({row.engine_name: row for row in model._base_manager.filter(pk__in=pks)})
    return found


def is_live(workload: Workload | None) -> bool:
    return workload is not None and workload.observed_status != ObservedStatus.DELETED


def _owners(ids: Sequence[str]) -> dict[str, str]:
    """Usernames by what labels say of owners."""
    wanted = {int(text) for text in ids if text.isdigit()}
    return {str(pk): name for pk, name in User.objects.filter(pk__in=wanted).values_list("pk", "username")}


def _kept(row: dict[str, Any], workload: Workload | None, owners: dict[str, str]) -> Kept:
    return Kept(
        name=row["name"],
        title=workload.name if workload else row["name"],
        owner=owners.get(row["owner"], ""),
        size_bytes=row["size_bytes"],
        created_at=_moment(row["created_at"]),
        changed_at=_moment(row["changed_at"]),
        deleted_at=workload.deleted_at if workload else None,
    )


def _row(one: KeptData) -> dict[str, Any]:
    return {
        "name": one.name,
        "owner": one.labels.get(LABEL_OWNER, ""),
        "size_bytes": one.size_bytes,
        "created_at": one.created_at.isoformat() if one.created_at else "",
        "changed_at": one.changed_at.isoformat() if one.changed_at else "",
    }


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
