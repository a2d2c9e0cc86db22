"""What the scheduler runs for challenges."""

from __future__ import annotations

from . import services


def settle_events() -> None:
    """Store what the clock has made of events, and end what is to end."""
    services.settle_events()
