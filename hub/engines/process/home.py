"""The directory of one workload: its lock, its records, and what they say about now.

    <root>/<name>/spec.json     what was asked, without environment and secrets: written first, removed last
                  status.json   what became of it: written by the shim (see `shim/main.py`)
                  disk.json     how much its data took when last counted
                  data/         the program's own, its working directory
                  log.<n>       its output, the newest segments
                  stdin         its console, a named pipe

A directory without `spec.json` is kept data; it is no workload.
"""

from __future__ import annotations

import fcntl
import functools
import json
import logging
import os
import re
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..base import (
    EngineError,
    Observation,
    PortBinding,
    Reason,
    State,
    WorkloadSpec,
    labels_for,
)
from .processes import Process
from .shim.processes import is_executing

NAME = re.compile(r"hub-([a-z][a-z0-9_-]{0,30})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
SHUTDOWN_SECONDS = 300.0  # an exit this close before the host's boot belongs to the shutdown
FILE_SIZE_EXCEEDED = -25
RECORD_BYTES = 64 * 1024  # far more than any record has
# A program that runs as the agent's own user can write here; a record without these is none.
REQUIRED = {
    "spec.json": {"kind", "id", "generation", "labels", "memory_mb", "disk_mb", "ports"},
    "status.json": {"generation", "state", "boot_id", "shim_pid", "shim_start", "pid", "start", "groups"},
    "disk.json": {"bytes", "at"},
}
Record = dict[str, Any]
logger = logging.getLogger(__name__)


@functools.cache
def boot_id() -> str:
    """The kernel's name for this boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@functools.cache
def boot_time() -> float:
    """When this boot began, in seconds since the epoch."""
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("btime "))


class Home:
    """One workload's directory; it need not exist."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.path = root / name
        self.data = self.path / "data"

    def lock(self, timeout_seconds: float) -> int:
        """Hold the workload against other callers, until the returned descriptor and its copies are closed.

        The lock is on the directory itself. Who waited for one that was removed meanwhile looks again, and gets
        FileNotFoundError when there is none.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                self._wait_for_lock(fd, deadline)
                if os.path.samestat(os.fstat(fd), os.stat(self.path, follow_symlinks=False)):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _wait_for_lock(self, fd: int, deadline: float) -> None:
        pause = 0.002
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EngineError(f"{self.name} is busy with another request.", reason=Reason.TIMED_OUT) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.05)
            else:
                return

    def read(self, file: str) -> Record | None:
        """One of the records, or None when it is missing or unreadable."""
        try:
            fd = os.open(f"{self.path}/{file}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            record = json.loads(os.read(fd, RECORD_BYTES))
        except (OSError, ValueError):
            return None
        finally:
            os.close(fd)
        return record if isinstance(record, dict) and record.keys() >= REQUIRED[file] else None

    def exists(self, entry: str) -> bool:
        """Whether something of that name is in the directory."""
        return os.path.lexists(f"{self.path}/{entry}")

    def write(self, file: str, record: Record, *, sync: bool = True) -> None:
        """Replace one of the records so that a reader, or with `sync` a power cut, never meets half of it."""
        path = f"{self.path}/{file}"
        fd = os.open(f"{path}.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(fd, "w", encoding="utf-8") as stream:
            json.dump(record, stream)
            stream.flush()
            if sync:
                os.fsync(fd)
        os.rename(f"{path}.tmp", path)

    def write_spec(self, spec: WorkloadSpec) -> None:
        """Record what is asked; the command may carry a secret by accident, so it is left out like the environment."""
        self.write(
            "spec.json",
            {
                "kind": spec.kind,
                "id": str(spec.id),
                "generation": spec.generation,
                "labels": labels_for(spec),
                "memory_mb": spec.limits.memory_mb,
                "disk_mb": spec.limits.disk_mb,
                "ports": [[p.name, p.ip, p.port, p.target_port, p.public] for p in spec.ports],
            },
        )

    def status(self, spec: Record) -> Record:
        """What the shim wrote about this generation, or nothing."""
        status = self.read("status.json")
        return status if status and status.get("generation") == spec["generation"] else {}

    def observe(self) -> Observation | None:
        """What is there now."""
        spec = self.read("spec.json")
        if spec is None:
            return None
        try:
            return self._observe(spec)
        except (KeyError, TypeError, ValueError, OverflowError):
            logger.warning("the records of %s make no sense", self.name)
            return None

    def _observe(self, spec: Record) -> Observation:
        status = self.status(spec)
        state, exit_code, detail, is_restart = judge(status)
        if not detail:
            detail = self._disk_detail(spec)
        has_run = state is not State.CREATED
        return Observation(
            kind=spec["kind"],
            id=uuid.UUID(spec["id"]),
            generation=spec["generation"],
            state=state,
            host="127.0.0.1",
            started_at=_moment(status.get("started_at")) if has_run else None,
            finished_at=_moment(status.get("finished_at")) if state is State.EXITED else None,
            exit_code=exit_code,
            oom_killed=bool(status.get("oom_killed")) and state is State.EXITED,
            engine_restarted=is_restart,
            detail=detail,
            ports=tuple(PortBinding(*port) for port in spec["ports"]),
            labels=spec["labels"],
        )

    def _disk_detail(self, spec: Record) -> str:
        disk = self.read("disk.json")
        if disk and disk["bytes"] > spec["disk_mb"] * 1024**2:
            return disk_sentence(disk["bytes"], spec["disk_mb"])
        return ""


def judge(status: Record) -> tuple[State, int | None, str, bool]:
    """State, exit code, detail and "the host restarted", from the record and from who is alive.

    The record alone is not believed: "running" with a dead child and a dead shim is an exit that nobody saw.
    """
    recorded = status.get("state", "created")
    if recorded == "created":
        return State.CREATED, None, status.get("detail", ""), False
    is_this_boot = status["boot_id"] == boot_id()
    if recorded == "exited":
        code, detail = status["exit_code"], status["detail"]
        if code == FILE_SIZE_EXCEEDED and not detail:
            detail = "It wrote a file larger than its disk limit."
        return State.EXITED, code, detail, not is_this_boot and status["finished_at"] > boot_time() - SHUTDOWN_SECONDS
    if not is_this_boot:
        return State.EXITED, None, "The host restarted while it ran.", True
    if is_executing(status["shim_pid"], status["shim_start"]):
        return State.RUNNING, None, "", False
    if is_executing(status["pid"], status["start"]):
        return State.RUNNING, None, "The process that looks after it was killed; its log has ended.", False
    return State.EXITED, None, "How it ended was not seen.", False


def program_of(status: Record) -> Process | None:
    """The program's main process of a record of this boot."""
    if "pid" not in status or status["boot_id"] != boot_id():
        return None
    return Process(status["pid"], status["start"])


def shim_of(status: Record) -> Process | None:
    """The shim of a record of this boot."""
    if "shim_pid" not in status or status["boot_id"] != boot_id():
        return None
    return Process(status["shim_pid"], status["shim_start"])


def epoch_of(status: Record) -> str:
    """A name for one run of a workload."""
    return f"{status['boot_id']}:{status['pid']}:{status['start']}"


def disk_sentence(used_bytes: int, disk_mb: int) -> str:
    return f"Its data takes {used_bytes // 1024**2} MB; the limit is {disk_mb} MB."


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
