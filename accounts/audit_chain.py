"""A hash chain over the audit trail: what was sealed cannot be edited, removed or slipped in without being found.

Every minute a job takes the entries without a seal, in order of their ids, hashes them onto the digest of the seal
before, and marks them with the new seal. An entry that commits late simply waits for the next seal, so nothing depends
on the order in which transactions end, nor on their ids (which begin anew when a dump is restored elsewhere). Each
digest is logged: a copy of one, kept outside (`manage.py audit_verify --anchor DIGEST`), proves the chain up to there
even to whoever owns the database.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import UTC
from itertools import groupby

from django.db import connection, transaction

from .models import AuditEntry, AuditSeal

logger = logging.getLogger(__name__)

GENESIS = "0" * 64
BATCH = 2_000
_LOCK = 0x41554449  # one sealer at a time: an advisory lock, held to the end of its transaction
_HASHED = (
    "id",
    "at",
    "xid",
    "actor_kind",
    "actor_id",
    "actor_name",
    "token_name",
    "via",
    "ip",
    "request_id",
    "action",
    "target_kind",
    "target_id",
    "target_name",
    "region_slug",
    "data",
)


def seal() -> int:
    """Seal all entries that have no seal yet; answers how many."""
    sealed = 0
    while count := _seal_batch():
        sealed += count
    return sealed


def verify(anchor: str = "") -> list[str]:
    """Recompute the chain. One sentence for each break, or for an anchor that is not in it; empty when all is well."""
    problems = []
    digests = set()
    previous = GENESIS
    for seal_row, entries in _sealed_entries():
        digest = _digest(previous, entries)
        if seal_row.archived_at and not entries:
            digest = seal_row.digest  # its entries are in a file of `accounts.audit_retention`
        elif len(entries) != seal_row.entry_count:
            problems.append(f"Seal {seal_row.pk} covers {seal_row.entry_count} entries, {len(entries)} are there.")
        elif digest != seal_row.digest:
            problems.append(f"Seal {seal_row.pk}: an entry or the seal before it was changed.")
        # Go on from what is written, so that one break is not reported again at every later seal.
        previous = seal_row.digest
        digests.add(previous)
    if anchor and anchor not in digests:
        problems.append("The given digest is not in the chain: seals were removed or made anew.")
    return problems


def head() -> str:
    """The digest of the newest seal."""
    newest = AuditSeal.objects.order_by("-pk").first()
    return newest.digest if newest else GENESIS


def _seal_batch() -> int:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        entries = list(AuditEntry.objects.unsealed()[:BATCH])
        if not entries:
            return 0
        new = AuditSeal.objects.create(entry_count=len(entries), digest=_digest(head(), entries))
        AuditEntry.objects.filter(pk__in=[entry.pk for entry in entries]).update(seal=new)
    logger.info("audit seal %s over %s entries: %s", new.pk, new.entry_count, new.digest)
    return len(entries)


def _sealed_entries() -> Iterator[tuple[AuditSeal, list[AuditEntry]]]:
    """Each seal with its entries, reading the trail once."""
    rows = AuditEntry.objects.exclude(seal=None).order_by("seal_id", "id").iterator(chunk_size=BATCH)
    groups = groupby(rows, key=lambda entry: entry.seal_id)
    found_id, found = next(groups, (None, iter(())))
    for seal_row in AuditSeal.objects.order_by("pk").iterator():
        if found_id == seal_row.pk:
            yield seal_row, list(found)
            found_id, found = next(groups, (None, iter(())))
        else:
            yield seal_row, []


def _digest(previous: str, entries: list[AuditEntry]) -> str:
    chain = hashlib.sha256(previous.encode())
    for entry in entries:
        line = canonical(entry)
        chain.update(len(line).to_bytes(8, "big") + line)
    return chain.hexdigest()


def canonical(entry: AuditEntry) -> bytes:
    """An entry as bytes that are the same whenever it is read."""
    facts = {name: getattr(entry, name) for name in _HASHED}
    facts["at"] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
