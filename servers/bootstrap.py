"""What a fresh hub has: the template catalogue."""

from __future__ import annotations

from .catalogue import sync_catalogue


def run() -> list[str]:
    """Bring the catalogue up to date; says what was done."""
    return sync_catalogue()
