"""Periodic work of alerts, and what is sent at once."""

from __future__ import annotations

from . import deliver, evaluate


def evaluate_rules() -> None:
    """Look at every rule; what is to be told is sent by a job for each channel, or by the next `deliver`."""
    evaluate.evaluate_all()


def deliver_waiting() -> None:
    """Send what waits."""
    deliver.deliver_all()


def deliver_channel(pk: int) -> None:
    """Send what waits in one channel."""
    deliver.deliver_channel(pk)
