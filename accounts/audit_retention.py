"""Move old audit entries out of the database: exported to a file first, deleted only when that is on the disk.

Whole seals leave, oldest first, so the chain stays provable: a seal keeps its digest, and the file holds each entry in
the very bytes that were hashed. Who is stopped in between exports the same seals again and loses nothing.
"""

from __future__ import annotations

import gzip
import json
import os
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from hub.exceptions import Invalid

from . import audit
from .actors import Actor
from .audit_chain import canonical
from .models import AuditEntry, AuditSeal
from .permissions import require

SHORTEST_DAYS = 30


def retain(*, days: int, actor: Actor) -> tuple[Path | None, int]:
    """Export and delete entries of seals older than so many days; answers the file and how many entries left."""
    require(actor, "settings.change")
    if days < SHORTEST_DAYS:
        raise Invalid(f"Entries stay for {SHORTEST_DAYS} days at least.", field="days")
    before = timezone.now() - timedelta(days=days)
    seals = list(AuditSeal.objects.filter(created_at__lt=before, archived_at=None).order_by("pk"))
    if not seals:
        return None, 0
    path = _export(seals)
    count = sum(_delete(seal) for seal in seals)
    audit.record(actor, "audit.retained", None, file=path.name, entries=count, first=seals[0].pk, last=seals[-1].pk)
    return path, count


def _export(seals: list[AuditSeal]) -> Path:
    """Write a line for each seal and each of its entries; the file has its name only when it is complete."""
    folder = Path(settings.HUB_DATA) / "audit"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"audit-{timezone.now():%Y%m%dT%H%M%SZ}-seals-{seals[0].pk}-{seals[-1].pk}.jsonl.gz"
    draft = path.with_suffix(".part")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
        with gzip.open(raw, "wb") as file:
            for seal in seals:
                head = {"seal": seal.pk, "digest": seal.digest, "entries": seal.entry_count}
                file.write(json.dumps(head).encode() + b"\n")
                for entry in seal.entries.order_by("id"):
                    file.write(canonical(entry) + b"\n")
        raw.flush()
        os.fsync(raw.fileno())
    draft.rename(path)
    return path


def _delete(seal: AuditSeal) -> int:
    """Delete the entries of one seal (at most a batch of them) and note that they were archived."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL hub.audit_retention = 'on'")
        count, _ = AuditEntry.objects.filter(seal=seal).delete()
        AuditSeal.objects.filter(pk=seal.pk).update(archived_at=timezone.now())
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL hub.audit_retention = 'off'")
    return count
