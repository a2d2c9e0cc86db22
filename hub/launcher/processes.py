"""Start children that die with us, and recognise a process again after a restart of our own."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .users import Account, run_as

PR_SET_PDEATHSIG = 1
# Loaded here because a child that has changed its user may not be able to read the interpreter's libraries any more.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    output: IO[bytes] | int,
    environment: Mapping[str, str],
    directory: Path | str = "/",
    account: Account | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C reaches only us; the kernel signals it when we die."""
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=directory,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=follow_parent(death_signal),
        **(run_as(account) if account else {}),
    )


def follow_parent(death_signal: int) -> Callable[[], None] | None:
    """Return what a child runs between fork and exec so that it gets `death_signal` when this process dies."""
    if _libc is None:
        return None
    prctl, parent = _libc.prctl, os.getpid()

    def follow() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            os._exit(1)

    return follow


def wait_until(ready: Callable[[], bool], seconds: float, *, give_up: Callable[[], bool] = lambda: False) -> bool:
    """Poll until `ready`, or until time is over or there is no hope."""
    deadline = time.monotonic() + seconds
    while not ready():
        if give_up() or time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def command_line(pid: int) -> bytes:
    """Return a process's arguments, nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Return the identity of a living process; a zombie counts as dead."""
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else cls(pid, f"{boot}:{fields[19]}")

    def is_alive(self) -> bool:
        return Identity.of(self.pid) == self

    def stop(self, first: int, seconds: float) -> None:
        """Signal the process and kill it when it is still there after `seconds`."""
        for number, patience in ((first, seconds), (signal.SIGKILL, 5.0)):
            if not self.is_alive():
                return
            os.kill(self.pid, number)
            wait_until(lambda: not self.is_alive(), patience)


def living_below(directory: Path) -> list[Identity]:
    """Return the processes whose working directory lies below a directory: programs that outlived their keeper."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            home = (entry / "cwd").readlink()
        except OSError:
            continue
        if home.is_relative_to(directory) and (identity := Identity.of(int(entry.name))):
            found.append(identity)
    return found
