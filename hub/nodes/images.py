"""Images on a node: what its engine holds, who needs each, fetching one ahead, and removing what nobody needs.

The agent lists, pulls and removes; what is shown here is what it last told. An image is needed while a container was
made from it, or while a kind of workload names it (`Workload.images_wanted`): one that was built on the node could not
be fetched again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actors import SYSTEM
from accounts.permissions import require
from hub.engines import capabilities_of
from hub.engines.base import Engine, EngineError, ImageInfo, PullProgress, Reason
from hub.exceptions import Conflict, Invalid
from hub.postgres.prepared import prepared_cursor

from . import tasks
from .choices import ReportKind, TaskVerb
from .models import Node, NodeReport, NodeTask
from .workloads import workload_models

IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,250}")
MIB = 1024**2


@dataclass(frozen=True)
class Image:
    """One image of a node. `used_by` are containers, `wanted_by` what would make some from it."""

    id: str
    names: tuple[str, ...]
    size_bytes: int
    created_at: datetime | None
    used_by: tuple[str, ...]
    wanted_by: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.names[0] if self.names else self.id.removeprefix("sha256:")[:12]

    @property
    def size_mb(self) -> float:
        return self.size_bytes / MIB

    @property
    def is_unused(self) -> bool:
        return not self.used_by and not self.wanted_by

    @property
    def needed_by(self) -> str:
        """Why it must stay, or ""."""
        return ", ".join((*self.wanted_by, *self.used_by))


@dataclass(frozen=True)
class Shelf:
    """The images of a node as the agent last found them."""

    images: tuple[Image, ...] = ()
    taken_at: datetime | None = None
    error: str = ""

    @property
    def size_mb(self) -> float:
        return sum(image.size_mb for image in self.images)

    @property
    def unused(self) -> list[Image]:
        return [image for image in self.images if image.is_unused]

    @property
    def unused_mb(self) -> float:
        return sum(image.size_mb for image in self.unused)


@dataclass(frozen=True)
class Preview:
    """What a removal would take away. Images may share layers, so no more than `size_mb` becomes free."""

    images: tuple[Image, ...]

    @property
    def size_mb(self) -> float:
        return sum(image.size_mb for image in self.images)


def has_images(node: Node) -> bool:
    """Whether the node's engine knows images at all."""
    return capabilities_of(node.engine).images


def shelf(node: Node) -> Shelf:
    """What the node holds, the largest first."""
    report = NodeReport.objects.filter(node=node, kind=ReportKind.IMAGES).first()
    if report is None:
        return Shelf()
    wanted = images_wanted()
    images = [_image(row, wanted) for row in report.rows]
    return Shelf(tuple(sorted(images, key=lambda image: -image.size_bytes)), report.taken_at, report.error)


def images_wanted() -> dict[str, list[str]]:
    """Images by their plain name that workloads are or will be made from, with who says so."""
    found: dict[str, list[str]] = {}
    for model in workload_models():
        for name, who in model.images_wanted().items():
            found.setdefault(plain_name(name), []).extend(who)
    return found


def plain_name(name: str) -> str:
    """A name as the engine lists it: without Docker's own registry, with a tag."""
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


def is_missing(node: Node, name: str) -> bool:
    """Whether the node is known not to hold an image; not as long as its agent has listed none.

    Written out, because every creation asks: composing the query cost twenty times what this does.
    """
    sql = """
        SELECT NOT EXISTS (SELECT FROM jsonb_array_elements(r.rows) image WHERE jsonb_exists(image -> 'names', %s))
        FROM nodes_nodereport r WHERE r.node_id = %s AND r.kind = %s AND r.taken_at IS NOT NULL
    """
    with prepared_cursor() as cursor:
        cursor.execute(sql, [plain_name(name), node.pk, str(ReportKind.IMAGES)])
        row = cursor.fetchone()
    return bool(row and row[0])


# --- Asked by people ----------------------------------------------------------------------------------------------


def ask_list(node: Node, *, actor: Any) -> NodeTask:
    """Have the agent list the images again."""
    require(actor, "nodes.view", node)
    _need_images(node)
    with transaction.atomic():
        return tasks.ask(node, TaskVerb.LIST_IMAGES, actor=actor)


def ask_pull(node: Node, *, actor: Any, image: str) -> NodeTask:
    """Have an image fetched before somebody waits for it."""
    require(actor, "nodes.change", node)
    _need_images(node)
    image = image.strip()
    if not IMAGE_NAME.fullmatch(image):
        raise Invalid("This is not the name of an image.", field="image")
    with transaction.atomic():
        task = tasks.ask(node, TaskVerb.PULL_IMAGE, actor=actor, subject=image, image=image)
        audit.record(actor, "node.image_pull_asked", node, image=image)
    return task


def preview_removal(node: Node, ids: Sequence[str] | None = None) -> Preview:
    """What would go: the images named, or all that nobody needs. One that is needed is refused with the reason."""
    _need_images(node)
    here = shelf(node)
    if ids is None:
        return Preview(tuple(here.unused))
    by_id = {image.id: image for image in here.images}
    chosen = []
    for image_id in dict.fromkeys(ids):
        image = by_id.get(image_id)
        if image is None:
            raise Invalid(f"The node does not hold an image {image_id[:80]}.", field="ids")
        if not image.is_unused:
            raise Conflict(f"{image.title} is needed by {image.needed_by}.", code="image_needed", field="ids")
        chosen.append(image)
    return Preview(tuple(chosen))


def ask_removal(node: Node, *, actor: Any, ids: Sequence[str] | None = None) -> NodeTask:
    """Have images removed: those named, or all that nobody needs."""
    require(actor, "nodes.change", node)
    preview = preview_removal(node, ids)
    if not preview.images:
        raise Conflict("There is no image that nobody needs.", code="nothing_to_do")
    titles = [image.title for image in preview.images]
    subject = titles[0] if len(titles) == 1 else f"{len(titles)} images"
    with transaction.atomic():
        chosen = [image.id for image in preview.images]
        task = tasks.ask(node, TaskVerb.REMOVE_IMAGES, actor=actor, subject=subject, ids=chosen)
        audit.record(actor, "node.image_removal_asked", node, images=titles)
    return task


def _need_images(node: Node) -> None:
    if not has_images(node):
        raise Conflict(f"{node.get_engine_display()} have no images.", code="no_images")


def _image(row: dict[str, Any], wanted: dict[str, list[str]]) -> Image:
    names = tuple(row["names"])
    who = [one for name in names for one in wanted.get(plain_name(name), ())]
    return Image(
        id=row["id"],
        names=names,
        size_bytes=row["size_bytes"],
        created_at=datetime.fromisoformat(row["created_at"]) if row["created_at"] else None,
        used_by=tuple(row["used_by"]),
        wanted_by=tuple(dict.fromkeys(who)),
    )


# --- Done by the agent --------------------------------------------------------------------------------------------


def report(node: Node, engine: Engine) -> int:
    """List what the engine holds and store it; says how many."""
    defaults: dict[str, Any]
    try:
        rows = [_row(image) for image in engine.images()]
        defaults = {"rows": rows, "error": "", "taken_at": timezone.now()}
    except EngineError as error:
        NodeReport.objects.update_or_create(node=node, kind=ReportKind.IMAGES, defaults={"error": str(error)})
        raise
    NodeReport.objects.update_or_create(node=node, kind=ReportKind.IMAGES, defaults=defaults)
    return len(rows)


def do_list(task: NodeTask, engine: Engine) -> str:
    count = report(task.node, engine)
    return f"{count} image{'' if count == 1 else 's'}."


def do_pull(task: NodeTask, engine: Engine) -> str:
    """Fetch an image, telling how far it is; given up when the task was taken over by another worker."""
    image = task.arguments["image"]
    told = [""]

    def progress(event: PullProgress) -> bool:
        told.append(event.message)
        return tasks.note_progress(task, event.message, event.percent)

    digest = engine.pull(image, progress=progress)
    report(task.node, engine)
    audit.record(task.actor or SYSTEM, "node.image_pulled", task.node, image=image, digest=digest)
    fell_back = next((words for words in reversed(told) if "on the node" in words), "")
    return fell_back or f"It is here: {digest}." if digest else "It is here."


def do_remove(task: NodeTask, engine: Engine) -> str:
    """Remove the images that still nobody needs, one by one, and say what stays and why."""
    report(task.node, engine)
    by_id = {image.id: image for image in shelf(task.node).images}
    kept, gone, freed_mb = [], [], 0.0
    for image_id in task.arguments["ids"]:
        image = by_id.get(image_id)
        if image is None:
            continue
        tasks.note_progress(task, f"Removing {image.title}")
        why = (
            f"needed by {image.needed_by}"
            if not image.is_unused
            else engine.remove_images([image.id]).get(image.id, "")
        )
        if why:
            kept.append(f"{image.title} stays: {why}")
        else:
            gone.append(image.title)
            freed_mb += image.size_mb
    report(task.node, engine)
    audit.record(task.actor or SYSTEM, "node.images_removed", task.node, images=gone, kept=kept)
    if kept and not gone:
        raise EngineError("; ".join(kept), reason=Reason.REFUSED, permanent=True)
    return "; ".join([f"{len(gone)} removed, up to {freed_mb:.0f} MiB free", *kept]) + "."


def _row(image: ImageInfo) -> dict[str, Any]:
    return {
        "id": image.id,
        "names": list(image.names),
        "size_bytes": image.size_bytes,
        "created_at": image.created_at.isoformat() if image.created_at else "",
        "used_by": list(image.used_by),
    }
