"""The small process that stays with one workload: owns its log, records how it ends, leaves nothing running.

`engine.py` starts it with `python -I -S` and hands it one line of JSON on stdin; the program's environment and the
secrets to mask live only in this memory.

Order matters, so that a SIGKILL at any point leaves a state that can be read:
- the workload's lock is inherited as a file descriptor and held until the program runs, so a dead caller does not free
  it;
- the child waits, before it becomes the program, until its pid is in `status.json`; if we die before, it ends by
  itself;
- "exited" is written only when no process of the workload is left (one that ten seconds cannot kill is given up).

We adopt orphans (PR_SET_CHILD_SUBREAPER), so whatever the program starts stays below us, whatever session it moves to.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time

from .log import Log
from .processes import descendants, start_ticks, stat_fields

PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
START_SECONDS = 10  # a start that takes longer ends itself
KILL_SECONDS = 10.0
WATCH_SECONDS = 2.0
CHILD_OOM_SCORE = 300  # the kernel takes a workload before the hub's own services
READ_BYTES = 64 * 1024
STATUS_BYTES = 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# An ignored signal stays ignored over exec: the interpreter's, ours, and what a caller under nohup passed on.
RESET = (*IGNORED, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)

_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Shim:
    """Start one program, watch it, and write down how it ended."""

    def __init__(self, job: dict, lock_fd: int, answer_fd: int) -> None:
        self.job = job
        self.lock_fd = lock_fd
        self.answer_fd = answer_fd
        self.directory: str = job["directory"]
        self.groups: dict[str, str] = job["groups"]
        self.log = Log(self.directory, job.pop("secrets"))
        self.failpoint = armed_failpoint()
        self.joined: list[str] = []
        self.status: dict = {}
        self.pid = 0
        self.code: int | None = None
        self.detail = ""
        self.is_over_memory = False

    def run(self) -> None:
        """Live as long as the program does."""
        _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

        output = self.start()
        if output is not None:
            self.watch(wake, output)
            self.finish(output)

    def start(self) -> int | None:
        """Fork the child, record it, let it become the program; None (and the answer sent) when that fails."""
        fifo = f"{self.directory}/stdin"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fifo)
        os.mkfifo(fifo, 0o600)
        stdin = os.open(fifo, os.O_RDWR | os.O_NOFOLLOW)  # both ends, so the program never reads an end of file
        output, output_write = os.pipe()
        go, go_write = os.pipe()
        failure, failure_write = os.pipe()

        self.failpoint("process.shim.before_fork")
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go_write)
            become_program(self.job, go, failure_write, stdin, output_write)
        for fd in (go, failure_write, stdin, output_write):
            os.close(fd)
        self._join()
        if not self._record_start():
            return None
        self.failpoint("process.shim.before_go")
        os.write(go_write, b"!")
        os.close(go_write)
        problem = os.read(failure, 64).decode()
        os.close(failure)
        self.failpoint("process.shim.before_answer")
        if problem:
            self._give_up(problem)
            return None
        signal.alarm(0)
        self._answer({"ok": True})
        return output

    def watch(self, wake: int, output: int) -> None:
        """Copy output to the log, reap, and look at limits that no cgroup keeps, until the program has ended."""
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        is_open, is_polled = True, False
        limits = {name: limit for name, limit in self.job["watch"].items() if name not in self.joined}
        next_look = time.monotonic() + WATCH_SECONDS
        while self.code is None:
            now = time.monotonic()
            pause = self.log.pause(now)
            if is_polled != (is_open and not pause):
                is_polled = not is_polled
                poller.register(output, select.POLLIN) if is_polled else poller.unregister(output)
            waits = ([pause] if pause else []) + ([max(0.0, next_look - now)] if limits else [])
            for fd, _ in poller.poll(int(min(waits) * 1000) + 1 if waits else None):
                if fd == wake:
                    os.read(wake, 4096)
                    self._reap()
                elif data := os.read(output, READ_BYTES):
                    self.log.feed(data, time.monotonic())
                else:
                    is_open = False
            if limits and time.monotonic() >= next_look:
                self._look(limits)
                next_look = time.monotonic() + WATCH_SECONDS

    def finish(self, output: int) -> None:
        """End what is left, empty the pipe, and say how it ended."""
        is_out_of_memory = self.is_over_memory or (self.code == -signal.SIGKILL and self._oom_kills() > 0)
        self.failpoint("process.shim.before_leftovers")
        self._kill_leftovers()
        os.set_blocking(output, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(output, READ_BYTES):
                self.log.feed(data, time.monotonic())
        self.log.close()
        self.failpoint("process.shim.before_exit_status")
        self._clear()
        self._record(
            state="exited",
            finished_at=time.time(),
            exit_code=self.code,
            oom_killed=is_out_of_memory,
            detail=self.detail,
        )

    def _join(self) -> None:
        """Put the waiting child into its cgroups; what cannot be joined is watched instead."""
        for controller, directory in self.groups.items():
            with contextlib.suppress(OSError):
                with open(f"{directory}/cgroup.procs", "w") as procs:
                    procs.write(str(self.pid))
                self.joined.append(controller)

    def _record_start(self) -> bool:
        shim = os.getpid()
        try:
            self._record(
                generation=self.job["generation"],
                boot_id=self.job["boot_id"],
                state="running",
                shim_pid=shim,
                shim_start=start_ticks(shim),
                pid=self.pid,
                start=start_ticks(self.pid),
                started_at=time.time(),
                groups=self.joined,
            )
        except OSError as error:  # returning ends us, and with us the child that waits
            self._answer({"stage": "status", "errno": error.errno})
            return False
        return True

    def _record(self, **changes: object) -> None:
        """Replace `status.json`; on a full disk write over the old one, whose block is ours already."""
        self.status.update(changes)
        path = f"{self.directory}/status.json"
        record = json.dumps(self.status).encode().ljust(STATUS_BYTES)
        try:
            _write_synced(f"{path}.tmp", record, os.O_CREAT | os.O_TRUNC)
            os.rename(f"{path}.tmp", path)
        except OSError:
            if self.status["state"] == "running":
                raise
            _write_synced(path, record, 0)

    def _give_up(self, problem: str) -> None:
        """Say why the program could not be started, in the status and to the caller."""
        stage, _, number = problem.partition(":")
        os.waitpid(self.pid, 0)
        self.log.close()
        self._clear()
        self._record(state="created", detail=f"Could not start ({stage}): {os.strerror(int(number))}.")
        self._answer({"stage": stage, "errno": int(number)})

    def _clear(self) -> None:
        """Take away the console and the cgroups, which are empty now (the kernel may need a moment to agree)."""
        with contextlib.suppress(OSError):
            os.unlink(f"{self.directory}/stdin")
        for directory in set(self.groups.values()):
            for _ in range(5):
                try:
                    os.rmdir(directory)
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        break
                    time.sleep(0.002)

    def _answer(self, answer: dict) -> None:
        """Tell the caller, who may be gone, and let go of the lock."""
        with contextlib.suppress(OSError):
            os.write(self.answer_fd, json.dumps(answer).encode())
        os.close(self.answer_fd)
        os.close(self.lock_fd)

    def _reap(self) -> None:
        """Collect ended children, adopted ones too."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid:
                    self.code = os.waitstatus_to_exitcode(status)

    def _look(self, limits: dict[str, int]) -> None:
        """Add up what the workload's processes use, and kill them when it is too much."""
        memory = threads = 0
        for pid in descendants(os.getpid()):
            with contextlib.suppress(OSError, ValueError, IndexError):
                threads += int(stat_fields(pid)[17])
                with open(f"/proc/{pid}/statm") as statm:
                    _, resident, shared, *_ = map(int, statm.read().split())
                memory += (resident - shared) * PAGE_BYTES
        if memory > limits.get("memory", memory):
            self.is_over_memory = True
            self.detail = "It used more memory than its limit."
        elif threads > limits.get("pids", threads):
            self.detail = "It started more processes and threads than its limit."
        else:
            return
        self.log.notice(self.detail)
        self._kill_leftovers()

    def _oom_kills(self) -> int:
        """How often the kernel killed in this memory cgroup (version 2 and 1 use the same line)."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError), open(f"{self.groups.get('memory', '')}/{name}") as lines:
                return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
        return 0

    def _kill_leftovers(self) -> None:
        """Kill every process below us until none is left; a cgroup without room for new ones stops a fork bomb."""
        if directory := self.groups.get("pids"):
            with contextlib.suppress(OSError), open(f"{directory}/pids.max", "w") as limit:
                limit.write("0")
        deadline = time.monotonic() + KILL_SECONDS
        while (left := descendants(os.getpid())) and time.monotonic() < deadline:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
            self._reap()


def become_program(job: dict, go: int, failure: int, stdin: int, output: int) -> None:
    """Turn the forked child into the program, or report the step and the error number; never returns.

    Everything is imported and resolved before: once the user is dropped, this interpreter's own files may be out of
    reach.
    """
    stage = "prepare"
    try:
        os.setsid()
        if os.read(go, 1) != b"!":
            os._exit(0)
        signal.set_wakeup_fd(-1)
        for number in RESET:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for target, fd in enumerate((stdin, output, output)):
            os.dup2(fd, target)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write(str(CHILD_OOM_SCORE))
        for name, limit in job["rlimits"].items():
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (value, value))
        os.umask(0o077)
        stage = "user"
        if job["uid"] is not None:
            os.setgroups([job["gid"]])
            os.setresgid(job["gid"], job["gid"], job["gid"])
            os.setresuid(job["uid"], job["uid"], job["uid"])
        if _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        stage = "directory"
        os.chdir(job["data"])
        stage = "program"
        os.execve(job["executable"], job["command"], job["env"])  # noqa: S606 - on purpose: no shell
    except OSError as error:
        os.write(failure, f"{stage}:{error.errno or 0}".encode())
    finally:
        os._exit(127)


def armed_failpoint():  # type: ignore[no-untyped-def]  # its type is the hub's, which is only imported when armed
    """The hub's failpoints when a test has armed one, else nothing."""
    if not os.environ.get("HUB_FAILPOINT"):
        return lambda name: None
    sys.path.append(os.path.abspath(f"{os.path.dirname(__file__)}/../../../.."))
    from hub.failpoints import failpoint

    return failpoint


def _write_synced(path: str, record: bytes, flags: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | flags, 0o600)
    try:
        if os.write(fd, record) < len(record):
            raise OSError(errno.ENOSPC, "short write")
        os.fsync(fd)
    finally:
        os.close(fd)


def main() -> None:
    """Leave the caller, read the job, live.

    The fork makes us nobody's child, so that no agent has to reap us. A job that does not end with a newline comes from
    a caller that died while writing it.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.alarm(START_SECONDS)
    lock_fd = int(sys.argv[2])
    fcntl.fcntl(lock_fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    with open(0, "rb", closefd=False) as stream:
        line = stream.read()
    if not line.endswith(b"\n"):
        return
    os.umask(0o077)
    shim = Shim(json.loads(line), lock_fd, os.dup(1))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    try:
        shim.run()
    except Exception as error:
        shim.log.notice(f"The process that looks after this workload failed: {error!r}")
        raise
