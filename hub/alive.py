"""A sign of life of a process without an address: a file that its loop touches, and `python -m hub.alive`, its judge.

The file is the container's own. The signs in the database say that some scheduler works: another one would cover for
one that hangs. Reads nothing of Django, because it is asked every few seconds. Without `HUB_ALIVE` the web is asked.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import urllib.request
from pathlib import Path

logger = logging.getLogger(__name__)

VARIABLE = "HUB_ALIVE"
STALE_SECONDS = 60
WEB = "http://127.0.0.1:8000/health/live"


def sign(path: str) -> None:
    """Say that the loop goes round; a disk that is full is no reason to stop it."""
    if path:
        try:
            Path(path).touch()
        except OSError as error:
            logger.warning("no sign of life in %s: %s", path, error.strerror)


def judge(path: str, stale_seconds: float) -> str:
    """Return what is wrong; nothing when the loop went round lately."""
    try:
        age = time.time() - Path(path).stat().st_mtime
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"no sign of life for {age:.0f} s" if age > stale_seconds else ""


def main() -> str:
    """`python -m hub.alive [SECONDS]`: end with an error that says what is wrong."""
    if path := os.environ.get(VARIABLE):
        return judge(path, float(sys.argv[1]) if len(sys.argv) > 1 else STALE_SECONDS)
    try:
        with urllib.request.urlopen(WEB, timeout=3):
            return ""
    except OSError as error:
        return f"{WEB}: {error}"


if __name__ == "__main__":
    sys.exit(main() or 0)
