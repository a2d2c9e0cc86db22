"""The process engine: programs of this machine, run beside the hub as an unprivileged user.

What it keeps is on disk (see `home.py`), and a program outlives whoever started it: it is found again by pid, start
time and boot. Every change happens under the lock of the workload's directory; looking does not lock.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import signal as signals
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from hub.failpoints import declare, failpoint

from ..base import (
    Capabilities,
    Enforcement,
    Engine,
    EngineError,
    KeptData,
    LogChunk,
    Observation,
    ProgressCallback,
    Reason,
    State,
    Usage,
    WorkloadSpec,
)
from ..probe import probe
from ..trees import delete
from . import cgroups
from .home import NAME, Home, Record, disk_sentence, judge, program_of, shim_of
from .launch import Account, check, environment, find_executable, launch, refusal
from .logs import read_log
from .processes import end_all, wait_for, workload_processes
from .usage import ProcessTable, disk_record, kept_data, usage_of

declare(
    "process.ensure.before_spec",
    "process.ensure.before_spawn",
    "process.ensure.after_spawn",
    "process.kill.after_signal",
    "process.remove.before_files",
    "process.remove.before_spec",
    "process.remove.after_rename",
    # In the shim, which imports nothing of ours unless one of them is armed:
    "process.shim.before_fork",
    "process.shim.before_go",
    "process.shim.before_answer",
    "process.shim.before_leftovers",
    "process.shim.before_exit_status",
)

INPUT_BYTES = 4096  # a longer write to a pipe may be mixed with another one
SPARE_BYTES = 16 * 1024**2
END_SECONDS = 15.0
DELETE_SECONDS = 20.0
TIDY_SECONDS = 1.0
COUNT_SECONDS_PER_PASS = 2.0
TRASH = re.compile(r"\.trash-[0-9a-f]{32}")

P = ParamSpec("P")
R = TypeVar("R")


def _verb(method: Callable[Concatenate[ProcessEngine, P], R]) -> Callable[Concatenate[ProcessEngine, P], R]:
    """Let only EngineError out."""

    @functools.wraps(method)
    def call(self: ProcessEngine, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise EngineError("This node's disk is full.", reason=Reason.DISK_FULL) from error
            raise EngineError(f"The node could not do that: {error.strerror}.", reason=Reason.UNAVAILABLE) from error

    return call


class ProcessEngine(Engine):
    """Options: `root`, the directory of all workloads; `user`, whom programs run as (root must name one)."""

    capabilities = Capabilities(
        isolates_strangers=False,
        restarts_by_itself=False,
        stdin=True,
        usage=True,
        disk_quota=False,
        volumes=True,
        sidecars=False,
        images=False,
        limits={
            "memory": Enforcement.WATCHED,
            "swap": Enforcement.ABSENT,
            "cpu": Enforcement.ABSENT,
            "pids": Enforcement.WATCHED,
            "disk": Enforcement.WATCHED,
            "files": Enforcement.ENFORCED,
        },
    )

    def __init__(self, *, node: str, options: Mapping[str, Any]) -> None:
        super().__init__(node=node, options=options)
        if not options.get("root"):
            raise refusal("This node names no directory for its programs.")
        self.root = Path(options["root"]).absolute()

    @property
    def cgroups(self) -> cgroups.Cgroups:
        """What this machine lets us limit; `"cgroups": False` in the options does without."""
        return cgroups.detect() if self.options.get("cgroups", True) else cgroups.Cgroups()

    def limits(self) -> Mapping[str, Enforcement]:
        """What the declared limits come to on this machine: better where control groups can be made."""
        available = self.cgroups
        better: list[str] = [name for name in ("memory", "cpu", "pids") if name in available.parents]
        if cgroups.swap_is_accounted(available):
            better.append("swap")
        return {**self.capabilities.limits, **dict.fromkeys(better, Enforcement.ENFORCED)}

    @_verb
    def ensure(self, spec: WorkloadSpec) -> Observation:
        """Check everything that can be refused before anything is written; then specification, child, answer.

        A caller that is killed leaves "created" (ask again) or, once the shim has its job, a start that finishes by
        itself under the lock which the shim inherits; so the next caller finds the program running, and never starts a
        second one.
        """
        check(spec)
        home = self._home(spec.name)
        if home is None:
            raise refusal(f"{spec.name!r} is no name for a workload.")
        account = Account.named(self.options.get("user", ""))
        with self._claimed(home, account) as lock_fd:
            known = home.read("spec.json")
            if known is not None and (seen := self._fenced(home, spec, known)):
                return seen
            find_executable(spec, home, environment(spec, home)["PATH"])
            self._refuse_full_disk(home, spec)
            self._end(home)
            self._refuse_taken_ports(spec, known)
            failpoint("process.ensure.before_spec")
            home.write_spec(spec)
            failpoint("process.ensure.before_spawn")
            launch(spec, home, account, self.cgroups.group(spec.name).create(spec.limits), lock_fd)
            failpoint("process.ensure.after_spawn")
        observation = home.observe()
        if observation is None:
            raise EngineError(f"{spec.name} was removed while it started.", reason=Reason.STALE)
        return observation

    @_verb
    def stop(self, name: str, *, signal: str = "SIGTERM") -> None:
        """Signal the program's process group: a wrapper script and the server below it both hear it."""
        number = getattr(signals, signal, None) if re.fullmatch("SIG[A-Z0-9]+", signal) else None
        if number is None:
            raise refusal(f"{signal!r} is not a signal.")
        if (home := self._home(name)) is None or not (program := program_of(home.read("status.json") or {})):
            return
        if program.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, number)

    @_verb
    def kill(self, name: str) -> None:
        """Wait for a start that is under way, so that its program is not missed; returns when nothing is left."""
        if home := self._home(name):
            with self._locked(home):
                self._end(home)

    @_verb
    def remove(self, name: str, *, keep_data: bool = False) -> None:
        """End it, then let the directory vanish in one step (or its records, the specification last), then delete."""
        if (home := self._home(name)) is None:
            return
        with self._locked(home) as lock_fd:
            if lock_fd is None:
                return
            self._end(home)
            self.cgroups.group(name).remove()
            failpoint("process.remove.before_files")
            if keep_data:
                self._forget(home)
                return
            trash = self.root / f".trash-{uuid.uuid4().hex}"
            home.path.rename(trash)
        failpoint("process.remove.after_rename")
        delete(trash, seconds=DELETE_SECONDS)  # what is left of a huge tree is deleted by `tidy`

    @_verb
    def kept_data(self) -> list[KeptData]:
        """A directory without a specification; the oldest counts are renewed first, as far as time allows."""
        deadline = time.monotonic() + COUNT_SECONDS_PER_PASS
        homes = [home for name in self._names(NAME) if not (home := Home(self.root, name)).exists("spec.json")]
        homes = [home for home in homes if home.exists("data")]
        homes.sort(key=lambda home: (home.read("disk.json") or {"at": 0.0})["at"])
        return [kept_data(home, may_count=time.monotonic() < deadline) for home in homes]

    @_verb
    def inspect(self, name: str) -> Observation | None:
        home = self._home(name)
        return home.observe() if home else None

    @_verb
    def list_owned(self) -> list[Observation]:
        return [seen for name in self._names(NAME) if (seen := Home(self.root, name).observe())]

    @_verb
    def logs(self, name: str, *, tail: int = 200, cursor: str = "") -> LogChunk:
        """Secrets were masked before the lines reached the disk."""
        home = self._home(name)
        if home is None or home.read("spec.json") is None:
            return LogChunk((), "")
        return read_log(home.path, tail=tail, cursor=cursor)

    @_verb
    def usage(self) -> dict[str, Usage]:
        """Counts data anew when the last count is a minute old, for as many workloads as fit into this pass."""
        table, found = ProcessTable(), {}
        deadline = time.monotonic() + COUNT_SECONDS_PER_PASS
        for name in self._names(NAME):
            home = Home(self.root, name)
            if not (spec := home.read("spec.json")) or not (status := home.status(spec)):
                continue
            if judge(status)[0] is State.RUNNING:
                group = self.cgroups.group(name, status["groups"])
                found[name] = usage_of(home, spec, status, group, table, may_count=time.monotonic() < deadline)
        return found

    @_verb
    def tidy(self) -> None:
        """Go on deleting what a removal could not finish: a huge tree, or a caller that was killed."""
        for name in self._names(TRASH):
            delete(self.root / name, seconds=TIDY_SECONDS)

    @_verb
    def send_input(self, name: str, line: str) -> None:
        """Write to the program's own pipe; two lines in one would be two commands, so they are refused."""
        data = line.rstrip("\r\n").encode() + b"\n"
        if any(character in data[:-1] for character in b"\r\n\0"):
            raise refusal("The console takes one line at a time.")
        if len(data) > INPUT_BYTES:
            raise refusal(f"A console line may have {INPUT_BYTES - 1} bytes at most.")
        home = self._home(name)
        seen = home.observe() if home else None
        if home is None or seen is None or not seen.is_running:
            raise EngineError("It is not running.", reason=Reason.NOT_RUNNING)
        try:
            pipe = os.open(home.path / "stdin", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                raise EngineError("It is not running.", reason=Reason.NOT_RUNNING) from None
            raise
        try:
            os.write(pipe, data)
        except BlockingIOError:
            raise EngineError("It does not read its console.", reason=Reason.TIMED_OUT) from None
        finally:
            os.close(pipe)

    def pull(self, image: str, *, progress: ProgressCallback, deadline_seconds: float = 900.0) -> str:
        """There are no images here: programs are installed on the node."""
        return ""

    @_verb
    def probe_address(self, ip: str, port: int) -> str:
        return probe(ip, port)

    # Names and locks.

    def _home(self, name: str) -> Home | None:
        """The directory of a workload; None for a name that is not one, whatever path it spells."""
        return Home(self.root, name) if NAME.fullmatch(name) else None

    def _names(self, pattern: re.Pattern[str]) -> Sequence[str]:
        try:
            return [name for name in os.listdir(self.root) if pattern.fullmatch(name)]
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def _locked(self, home: Home) -> Iterator[int | None]:
        """Hold a workload; yields None when it has no directory."""
        try:
            fd = home.lock(self.timeout_seconds)
        except FileNotFoundError:
            yield None
            return
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _claimed(self, home: Home, account: Account) -> Iterator[int]:
        """Hold a workload whose directories exist."""
        mode = 0o711 if account.uid is not None else 0o700
        while True:
            for directory in (self.root, home.path):
                _make_directory(directory, mode)
            with self._locked(home) as fd:
                if fd is not None:
                    if _make_directory(home.data, 0o700) and account.uid is not None and account.gid is not None:
                        os.chown(home.data, account.uid, account.gid)
                    yield fd
                    return

    # Steps; the caller holds the lock.

    @staticmethod
    def _fenced(home: Home, spec: WorkloadSpec, known: Record) -> Observation | None:
        """Hold the specification against what is there; returns what runs already."""
        if known["generation"] > spec.generation:
            raise EngineError(f"{spec.name} has a newer generation.", reason=Reason.STALE, permanent=True)
        seen = home.observe()
        if seen is None or not seen.is_running:
            return None
        if seen.generation < spec.generation:
            raise refusal(f"{spec.name} still runs an older generation; it must be stopped first.")
        return seen

    def _refuse_full_disk(self, home: Home, spec: WorkloadSpec) -> None:
        facts = os.statvfs(home.path)
        if facts.f_bavail * facts.f_frsize < SPARE_BYTES:
            raise EngineError("This node's disk is full.", reason=Reason.DISK_FULL)
        limit = spec.limits.disk_mb * 1024**2
        if (counted := home.read("disk.json")) and counted["bytes"] > limit:
            used = disk_record(home, max_age_seconds=0.0)["bytes"]
            if used > limit:
                sentence = f"{disk_sentence(used, spec.limits.disk_mb)} Delete files or raise the limit."
                raise EngineError(sentence, reason=Reason.DISK_FULL)

    @staticmethod
    def _refuse_taken_ports(spec: WorkloadSpec, known: Record | None) -> None:
        """Connections that the last run left closing on its own port do not keep it from coming back."""
        own = {(ip, port) for _, ip, port, *_ in known["ports"]} if known else set()
        for binding in spec.ports:
            address = (binding.ip, binding.port)
            if obstacle := probe(*address, allow_lingering=address in own):
                raise EngineError(obstacle, reason=Reason.ADDRESS_TAKEN, ip=binding.ip, port=binding.port)

    def _end(self, home: Home) -> None:
        """End every process of a workload. Its shim does that best, because all of them are below it.

        Without the shim they are found by cgroup, or by session and environment.
        """
        status = home.read("status.json") or {}
        program, shim = program_of(status), shim_of(status)
        if program is None or shim is None or status["state"] != "running":
            return
        was_running = program.signal(signals.SIGKILL)
        failpoint("process.kill.after_signal")
        if wait_for(lambda: not shim.is_alive(), END_SECONDS if was_running else END_SECONDS / 3):
            status = home.read("status.json") or status
            if status["state"] == "exited":
                return
        else:
            shim.signal(signals.SIGKILL)
        self._end_without_shim(home, status, was_running=was_running)

    def _end_without_shim(self, home: Home, status: Record, *, was_running: bool) -> None:
        group = self.cgroups.group(home.name, status["groups"])
        group.forbid_forks()
        if not end_all(
            lambda: group.processes() or workload_processes(home.name, status["pid"]), timeout_seconds=END_SECONDS
        ):
            raise EngineError("Its processes could not be ended.", reason=Reason.TIMED_OUT)
        group.remove()
        home.write(
            "status.json",
            status
            | {
                "state": "exited",
                "finished_at": time.time(),
                "exit_code": -signals.SIGKILL if was_running else None,
                "oom_killed": False,
                "detail": "" if was_running else "How it ended was not seen.",
            },
        )

    @staticmethod
    def _forget(home: Home) -> None:
        """Remove the records and leave the data."""
        for entry in os.listdir(home.path):
            if entry not in ("data", "spec.json"):
                os.unlink(home.path / entry)
        failpoint("process.remove.before_spec")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(home.path / "spec.json")


def _make_directory(path: Path, mode: int) -> bool:
    """Make a directory with exactly this mode; one that exists is left as it is."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    path.chmod(mode)
    return True
