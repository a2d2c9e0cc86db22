"""What tests run in a process of its own; kept small because each such process imports it."""

from __future__ import annotations

from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from typing import Any

from hub.engines.base import Engine, WorkloadSpec


def ensure_at_once(factory: tuple[type[Engine], Mapping[str, Any]], spec: WorkloadSpec, barrier: Barrier) -> None:
    """Call ensure at the same moment as the others."""
    cls, options = factory
    engine = cls(node="contract", options=options)
    barrier.wait(60)
    engine.ensure(spec)
