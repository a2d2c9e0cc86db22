"""Programs of the hub's own that workloads of the process engine run."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from functools import cache
from pathlib import Path

from django.conf import settings

from servers import sample

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
SAMPLE_SOURCE = Path(sample.__file__).with_name("server.py")


@cache
def python() -> str:
    """An interpreter that workloads can run: the one behind the hub's virtual environment, which itself may be closed.

    Root's own may lie in root's home, where the user of the workloads cannot look; then the system's serves.
    """
    own = getattr(sys, "_base_executable", "") or sys.executable
    if os.geteuid() != 0 or all(_is_open(path) for path in (Path(own), Path(own).resolve())):
        return own
    return shutil.which("python3", path=SYSTEM_PATH) or own


def _is_open(program: Path) -> bool:
    """Whether every user may pass the directories above a file."""
    return all(directory.stat().st_mode & stat.S_IXOTH for directory in program.absolute().parents)


def sample_server() -> str:
    """A copy of the sample server that every user of this machine can read; the hub's own files may be closed to them.

    Its name holds the digest of its content, so a newer hub never changes what is running.
    """
    source = SAMPLE_SOURCE.read_bytes()
    directory = settings.HUB_DATA / "programs"
    copy = directory / f"sample-server-{hashlib.sha256(source).hexdigest()[:12]}.py"
    if not copy.exists():
        if not directory.exists():
            directory.mkdir(parents=True)
            directory.chmod(0o755)  # whatever the umask is
        part = copy.with_suffix(f".{os.getpid()}")
        part.write_bytes(source)
        part.chmod(0o644)
        part.replace(copy)
    return str(copy)
