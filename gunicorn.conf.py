"""What gunicorn reads by itself: web processes share their counters through a directory in memory."""

import os
import shutil
import tempfile
from typing import Any

SHARED = "PROMETHEUS_MULTIPROC_DIR"
_ours = ""


def on_starting(server: Any) -> None:
    """Make the directory, before anything is imported that looks for it."""
    global _ours
    if not os.environ.get(SHARED):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - mkdtemp makes a name of our own
        _ours = os.environ[SHARED] = tempfile.mkdtemp(prefix="kutanga-metrics-", dir=memory)


def child_exit(server: Any, worker: Any) -> None:
    """What a dead process had in progress does not count any more; what it has counted does."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid, os.environ[SHARED])


def on_exit(server: Any) -> None:
    """Leave nothing behind."""
    if _ours:
        shutil.rmtree(_ours, ignore_errors=True)
