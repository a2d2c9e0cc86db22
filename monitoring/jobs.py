"""Periodic work of monitoring, and what agents do when asked."""

from __future__ import annotations

from hub import retention

from . import keeping, rollups, sampler, tables


def roll_up() -> None:
    """Make the rollups that are due."""
    rollups.roll_up()


def keep_partitions() -> None:
    """Make partitions ahead; drop those whose time is over, once nothing of them waits to be rolled up."""
    tables.ahead()
    rollups.roll_up()
    retention.run(keeping.SAMPLES)


def sample_node(name: str) -> None:
    """Measure a node now; runs on that node's agent.

    Two looks, because most of it are rates. Its batches are numbered under a feed of their own, so that they do not
    come between those of the sampler.
    """
    sampler.sample_now(name)
