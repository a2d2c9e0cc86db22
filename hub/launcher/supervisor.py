"""Keep the hub's processes running: start in order, restart what dies, stop in reverse."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .errors import service_failed, step_failed
from .place import Place, read_json, write_json
from .processes import Identity, spawn, wait_until
from .users import Account

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY_SECONDS = 60.0  # whoever lived this long starts anew with the shortest pause
LOG_BYTES, LOGS_KEPT = 10 * 2**20, 3
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Somebody asked us to stop while something was still starting."""


@dataclass(frozen=True)
class Service:
    """A program that shall run as long as the hub does."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    answers: Callable[[], bool]
    start_seconds: float = 60.0
    start_again: float = 0.0  # an end within this many seconds is tried again, not final
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 15.0
    account: Account | None = None
    directory: Path = Path("/")


@dataclass
class Child:
    """A service's process, or the pause before its next one."""

    service: Service
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.time)
    restarts: int = 0
    pause: float = FIRST_PAUSE
    next_start: float | None = None


class Supervisor:
    """Own the children; run from the main thread only, whose death the kernel tells them."""

    def __init__(self, place: Place, say: Callable[[str], None]) -> None:
        self.place, self.say = place, say
        self.children: list[Child] = []
        self.stopping = False
        self.phase = "starting"
        self._unwritten: set[str] = set()  # what a full disk keeps us from writing, told once each
        self._wake, wake = socket.socketpair()
        self._wake.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.detach(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask_to_stop)

    def start(self, *services: Service) -> None:
        """Start services side by side and wait until all answer; one's early end or silence stops the whole start."""
        for service in services:
            self.children.append(Child(service, self._spawn(service)))
        self.save()
        for child in self.children[-len(services) :]:
            self._await(child)
        self.save()

    def _await(self, child: Child) -> None:
        service, began = child.service, time.monotonic()

        def is_hopeless() -> bool:
            if child.process.poll() is not None and time.monotonic() - began < service.start_again:
                time.sleep(0.5)
                child.process = self._spawn(service)
            return self.stopping or child.process.poll() is not None

        ready = wait_until(service.answers, service.start_seconds, give_up=is_hopeless)
        if self.stopping:
            raise Stopped
        if not ready:
            code = child.process.poll()
            reason = f"no answer in {service.start_seconds:.0f} s" if code is None else describe_exit(code)
            raise service_failed(service.name, reason, self.place.log(service.name))

    def run(self, command: Sequence[str], environment: Mapping[str, str], name: str, directory: Path) -> bytes:
        """Run a command to its end with its errors in a log and return what it printed."""
        with (
            self.place.log(name).open("ab") as log,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=directory,
                env=dict(environment),
                start_new_session=True,
            ) as process,
        ):
            while True:
                try:
                    output, _ = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    if self.stopping:
                        process.terminate()
        if self.stopping:
            raise Stopped
        if process.returncode != 0:
            raise step_failed(name, describe_exit(process.returncode), self.place.log(name))
        return output

    def run_at_end(self, command: Sequence[str], environment: Mapping[str, str], name: str, seconds: float) -> None:
        """Run a command while everything stops, which no further signal interrupts; a failure is told and outlived."""
        try:
            with self._open_log(name) as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self.place.checkout,
                    env=dict(environment),
                    start_new_session=True,
                )
        except OSError as error:
            self._tell(f"{name} failed: {error.strerror or error}")
            return
        try:
            output, _ = process.communicate(timeout=seconds)
            for line in output.decode(errors="replace").splitlines():
                self._tell(line)
            trouble = describe_exit(process.returncode) if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            trouble = f"not done in {seconds:.0f} s"
        if trouble:
            self._tell(f"{name} failed ({trouble}): see {self.place.log(name)}")

    def watch(self) -> None:
        """Restart what dies until somebody asks us to stop."""
        self.phase = "running"
        self.save()
        while not self.stopping:
            for child in self.children:
                self._look_after(child)
            self._rotate_logs()
            self._sleep(self._until_next_start())

    def stop_all(self, *, after: Mapping[str, Callable[[], None]] | None = None) -> None:
        """Stop the services, last started first, each with its own signal and patience.

        `after` names what else is to be done once a certain service is gone.
        """
        self.stopping = True
        self.phase = "stopping"
        self.save()
        for child in reversed(self.children):
            if child.next_start is None and child.process.poll() is None:
                self._tell(f"stopping {child.service.name}")
                child.process.send_signal(child.service.stop_signal)
                try:
                    child.process.wait(child.service.stop_seconds)
                except subprocess.TimeoutExpired:
                    self._tell(f"{child.service.name} does not stop: it is killed")
            _kill_group(child.process)
            child.process.wait()
            if after and child.service.name in after:
                after[child.service.name]()
        self.children.clear()

    def save(self) -> None:
        """Write down who runs, for `status`, `down` and whoever must clean up after a kill."""
        children = {}
        for child in self.children:
            identity = Identity.of(child.process.pid) if child.next_start is None else None
            children[child.service.name] = {
                "pid": child.process.pid,
                "identity": identity.started if identity else "",
                "stop_signal": int(child.service.stop_signal),
                "since": child.began,
                "restarts": child.restarts,
                "running": identity is not None,
            }
        us = Identity.of(os.getpid())
        state = {
            "pid": os.getpid(),
            "identity": us.started if us else "",
            "phase": self.phase,
            "address": self.place.address,
            "own_address": self.place.own_address,
            "children": children,
        }
        with self._outliving_a_full_disk(self.place.state_file):
            write_json(self.place.state_file, state)

    def _spawn(self, service: Service) -> subprocess.Popen[bytes]:
        with self._open_log(service.name) as log:
            return spawn(
                service.command,
                output=log,
                environment=service.environment,
                directory=service.directory,
                account=service.account,
                death_signal=service.stop_signal,
            )

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.next_start is not None:
            if now >= child.next_start:
                self._start_again(child, now)
            return
        code = child.process.poll()
        if code is None:
            return
        _kill_group(child.process)
        steady = time.time() - child.began > STEADY_SECONDS
        child.pause = FIRST_PAUSE if steady else min(child.pause * 2, LONGEST_PAUSE)
        child.restarts += 1
        child.next_start = now + child.pause
        reason = f"{child.service.name} ended ({describe_exit(code)})"
        self._tell(f"{reason}: starting it again in {child.pause:.0f} s; see {self.place.log(child.service.name)}")
        self.save()

    def _start_again(self, child: Child, now: float) -> None:
        try:
            child.process = self._spawn(child.service)
        except OSError as error:  # no memory or no process left: the next try may find some
            child.pause = min(child.pause * 2, LONGEST_PAUSE)
            child.next_start = now + child.pause
            self._tell(f"{child.service.name} cannot be started ({error.strerror or error}): the next try comes later")
            return
        child.began, child.next_start = time.time(), None
        self.save()

    def _until_next_start(self) -> float:
        times = [child.next_start - time.monotonic() for child in self.children if child.next_start is not None]
        return max(0.05, min([*times, 10.0]))

    def _sleep(self, seconds: float) -> None:
        """Sleep until a child ends, a signal comes or time is over."""
        self._wake.settimeout(seconds)
        try:
            self._wake.recv(64)
        except TimeoutError:
            return

    def _tell(self, text: str) -> None:
        """Tell the log, and the person at the terminal if there is one."""
        logger.info(text)
        with suppress(OSError):  # a terminal that is gone, or a file on a full disk
            self.say(f"  {text}")

    def _open_log(self, name: str) -> IO[bytes]:
        """Open a program's log; one that cannot be made costs its lines, not the program."""
        try:
            return self.place.log(name).open("ab")
        except OSError:
            return Path(os.devnull).open("ab")

    @contextmanager
    def _outliving_a_full_disk(self, path: Path) -> Iterator[None]:
        """Let a full disk cost what was to be written, not the hub; told once until it works again."""
        try:
            yield
        except OSError as error:
            if path.name not in self._unwritten:
                self._unwritten.add(path.name)
                self._tell(f"{path} cannot be written ({error.strerror or error}): the hub goes on without")
        else:
            self._unwritten.discard(path.name)

    def _ask_to_stop(self, *_: object) -> None:
        self.stopping = True

    def _rotate_logs(self) -> None:
        for path in self.place.logs.glob("*.log"):
            with self._outliving_a_full_disk(path):
                if path.stat().st_size > LOG_BYTES:
                    rotate(path)


def rotate(path: Path) -> None:
    """Move a log's content into numbered files.

    Its writer keeps the file open, so the content is copied and the file cut; a line written between the two is lost.
    The oldest goes first, which makes room; where the copy fails all the same, the others stay as they are.
    """
    path.with_name(f"{path.name}.{LOGS_KEPT}").unlink(missing_ok=True)
    copy = path.with_name(f"{path.name}.0")
    try:
        shutil.copyfile(path, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    for number in range(LOGS_KEPT - 1, -1, -1):
        old = path.with_name(f"{path.name}.{number}")
        if old.exists():
            old.rename(path.with_name(f"{path.name}.{number + 1}"))
    os.truncate(path, 0)


def end_orphans(place: Place) -> list[str]:
    """Stop what a killed launcher left behind and return the names; the kernel has usually told them already."""
    state = read_json(place.state_file)
    ended = []
    for name, child in reversed(list(state.get("children", {}).items())):
        identity = Identity(child["pid"], child["identity"])
        if identity.is_alive():
            identity.stop(child["stop_signal"], 30.0)
            ended.append(name)
    place.state_file.unlink(missing_ok=True)
    return ended


def describe_exit(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what a service may have left in its session; each service leads a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
