"""The hub's own programs as processes of a test, on the test's database: agents, web servers, and services to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.db import connection, connections

from hub import jobs
from hub.launcher.embedded import CLEAN_ENVIRONMENT, Embedded, find_binaries
from hub.launcher.processes import follow_parent, spawn
from hub.nodes.models import Node
from hub.settings import database
from hub.testing import child_environment, wait_until

START_SECONDS = 60.0
# The ordinary command, with leases that run out within a test.
SHORT_LEASES = """
import sys
import django
from django.core.management import execute_from_command_line
django.setup()
from hub.nodes import agent, steps
steps.LEASE_SECONDS = 1
start = agent.Agent._start
agent.Agent._start = lambda self, child: None if child.name in {left_out!r} else start(self, child)
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


class Program:
    """One process of ours with everything below it."""

    def __init__(self, command: Sequence[str], log: Path, **environment: str) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=settings.BASE_DIR,
                env=child_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=follow_parent(signal.SIGTERM),
            )

    def below(self) -> list[psutil.Process]:
        """Its living children and theirs; the workloads it has started are nobody's children."""
        try:
            return [child for child in psutil.Process(self.process.pid).children(recursive=True) if is_alive(child)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> list[psutil.Process]:
        """SIGKILL the first process alone; returns those that were below it."""
        below = self.below()
        self.process.kill()
        self.process.wait()
        return below

    def kill_all(self) -> None:
        """SIGKILL it with everything below it, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in its own way."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill_all()
                raise
        self.kill_all()


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class Programs:
    """Starts programs, and ends them all when the test is over."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Program] = []

    def agent(self, node: Node, *, workers: int = 1, is_sweeping: bool = True, **environment: str) -> Program:
        """`manage.py agent`, sweeping every second; returns when it has begun to work."""
        command = [sys.executable, "-c", SHORT_LEASES.format(left_out=[] if is_sweeping else ["sweep"])]
        command += ["agent", "--node", node.name, "--workers", str(workers)]
        program = self._start(command, "agent.log", HUB_SWEEP_SECONDS="1", **environment)
        wait_until(lambda: len(program.below()) >= workers + is_sweeping, START_SECONDS, what="the agent's children")
        return program

    def web(self, port: int, **environment: str) -> Program:
        """gunicorn as the launcher starts it, with one worker; returns when it answers."""
        command = [sys.executable, "-m", "gunicorn", "hub.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
        command += ["--worker-class", "gthread", "--workers", "1", "--threads", "4"]
        program = self._start(command, "web.log", **environment)
        wait_until(lambda: answers(port), START_SECONDS, what="the web server's answer")
        return program

    def _start(self, command: Sequence[str], log: str, **environment: str) -> Program:
        program = Program(command, self.directory / log, **environment)
        self.started.append(program)
        return program

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.log")))

    def end(self) -> None:
        for program in self.started:
            program.stop()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Service:
    """A PostgreSQL or Valkey of the test's own, which it may stop and start again."""

    def __init__(self, embedded: Embedded, name: str) -> None:
        self.embedded, self.name = embedded, name
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command, is_ready = {
            "postgres": (self.embedded.postgres_command, self.embedded.postgres_answers),
            "valkey": (self.embedded.valkey_command, self.embedded.valkey_answers),
        }[self.name]
        with (self.embedded.root / f"{self.name}.log").open("ab") as output:
            self.process = spawn(
                command(),
                output=output,
                environment=CLEAN_ENVIRONMENT,
                account=self.embedded.account,
                death_signal=signal.SIGQUIT,
            )
        wait_until(is_ready, START_SECONDS, what=self.name)

    def crash(self) -> None:
        """End it without letting it tidy up: PostgreSQL by an immediate shutdown, Valkey by SIGKILL."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT if self.name == "postgres" else signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def own_service(name: str) -> Iterator[Service]:
    """A running service in a directory of its own. In a crash PostgreSQL keeps what it promised, Valkey forgets all."""
    with tempfile.TemporaryDirectory(prefix="kutanga-outage-") as directory:
        root = Path(directory)
        root.chmod(0o711)
        embedded = Embedded(root, find_binaries(Path(sys.prefix)), volatile=name == "valkey")
        embedded.prepare()
        service = Service(embedded, name)
        service.start()
        try:
            yield service
        finally:
            service.crash()
            embedded.remove_sockets()


@contextmanager
def redis_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process and those it starts use another Redis."""
    try:
        with monkeypatch.context() as patch:
            patch.setenv("REDIS_URL", url)
            patch.setattr(settings, "REDIS_URL", url)
            jobs._connection.cache_clear()
            yield
    finally:  # else all tests after one that failed would ask a Redis that is gone
        jobs._connection.cache_clear()


@contextmanager
def database_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process and those it starts use another database."""
    before: dict[str, Any] = dict(connection.settings_dict)
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        forget_connections()
        connection.settings_dict |= database(url)
        try:
            yield
        finally:
            forget_connections()
            connection.settings_dict.update(before)


def forget_connections() -> None:
    connections.close_all()
    connection.close_pool()
