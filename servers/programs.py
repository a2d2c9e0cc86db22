"""Programs of the hub's own that workloads of the process engine run."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from pathlib import Path

from django.conf import settings

from servers import sample

SAMPLE_SOURCE = Path(sample.__file__).with_name("server.py")


def python() -> str:
    """The interpreter behind the hub's virtual environment: that one may lie where other users cannot look."""
    return getattr(sys, "_base_executable", "") or sys.executable


@cache
def sample_server() -> str:
    """A copy of the sample server that every user of this machine can read; the hub's own files may be closed to them.

    Its name holds the digest of its content, so a newer hub never changes what is running.
    """
    source = SAMPLE_SOURCE.read_bytes()
    directory = settings.HUB_DATA / "programs"
    copy = directory / f"sample-server-{hashlib.sha256(source).hexdigest()[:12]}.py"
    if not copy.exists():
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        part = copy.with_suffix(f".{os.getpid()}")
        part.write_bytes(source)
        part.chmod(0o644)
        part.replace(copy)
    return str(copy)
