"""An agent's buffer on disk: every batch is a file until the database has it, so neither side's death loses one.

Batches are numbered from a file of their own and delivered in that order. The folder has an identity: after it was
lost, the numbers begin anew under another one, and nobody takes them for batches that were stored before. The buffer
is bounded: the oldest batches go when it is full.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)
STATE = "feed.json"


@dataclass(frozen=True)
class Batch:
    """One numbered file of lines in COPY's text form, each with its subject instead of the number of its series."""

    sequence: int
    path: Path

    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()


class Spool:
    """The buffer of one node's agent."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self.feed, self.sequence, self.dropped = self._read_state()
        self.sequence = max([self.sequence, *(batch.sequence for batch in self.waiting())])

    def add(self, lines: Sequence[str]) -> Batch:
        """Number a batch and keep it."""
        self.sequence += 1
        self._write_state()
        path = self.folder / f"{self.sequence:012}.tsv"
        _replace(path, "".join(f"{line}\n" for line in lines))
        self._make_room()
        return Batch(self.sequence, path)

    def waiting(self) -> list[Batch]:
        """What the database does not have yet, oldest first."""
        return [Batch(int(path.stem), path) for path in sorted(self.folder.glob("[0-9]*.tsv"))]

    def forget(self, batches: Sequence[Batch]) -> None:
        """Delete what was stored."""
        for batch in batches:
            batch.path.unlink(missing_ok=True)

    def set_aside(self, batch: Batch) -> None:
        """Put away what the database refuses, so that it does not hold up what follows."""
        batch.path.replace(batch.path.with_suffix(".refused"))

    def _make_room(self) -> None:
        batches = self.waiting()
        sizes = [batch.path.stat().st_size for batch in batches]
        total = sum(sizes)
        for batch, size in zip(batches[:-1], sizes, strict=False):
            if total <= self.max_bytes:
                break
            batch.path.unlink(missing_ok=True)
            total -= size
            self.dropped += 1
            logger.warning("the buffer of samples is full: batch %d dropped", batch.sequence)
        else:
            return
        self._write_state()

    def _read_state(self) -> tuple[uuid.UUID, int, int]:
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            return uuid.UUID(state["feed"]), int(state["sequence"]), int(state["dropped"])
        except (OSError, ValueError, KeyError):
            return uuid.uuid4(), 0, 0

    def _write_state(self) -> None:
        state = {"feed": str(self.feed), "sequence": self.sequence, "dropped": self.dropped}
        _replace(self.folder / STATE, json.dumps(state))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)
