"""Tell the person at the terminal what happens and how long each step took."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class Console:
    """Print steps with their seconds and remember them for the table at the end."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []
        self._noted = 0.0
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step, and its seconds once it is done."""
        self.say(f"- {title} ...")
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.steps.append((title, seconds))
        self.say(f"  {title}: done in {seconds:.1f} s")

    def note(self, text: str, *, every: float = 2.0) -> None:
        """Show a detail of a long step, at most every few seconds."""
        if time.monotonic() - self._noted >= every:
            self._noted = time.monotonic()
            self.say(f"    {text}")

    def table(self) -> list[str]:
        width = max((len(title) for title, _ in self.steps), default=0)
        total = sum(seconds for _, seconds in self.steps)
        rows = [*self.steps, ("Total", total)]
        return [f"  {title:<{width}}  {seconds:7.1f} s" for title, seconds in rows]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of text into columns."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
