"""A Docker daemon of a test's own, to be stopped, killed and frozen without harm to others.

It lives in a network namespace of its own, so its firewall rules and bridges meet nobody's; what its containers publish
is therefore out of reach. Needs root.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors

from .docker_images import RECIPES, image, machine_client

START_SECONDS = 60
STOP_SECONDS = 60
CLONE_NEWNET = 0x40000000


class PrivateDaemon:
    """One daemon: `start`, `stop`, `kill`, `freeze`, `thaw`; `close` removes every trace."""

    def __init__(self, *options: str, root: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kutanga-dockerd-"))
        self.data = root or self.directory / "data"
        self.socket = self.directory / "docker.sock"
        self.network = f"kutanga-dockerd-{uuid.uuid4().hex[:8]}"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        _run("ip", "netns", "add", self.network)
        _run("ip", "-n", self.network, "link", "set", "lo", "up")

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "nsenter",
                    f"--net=/var/run/netns/{self.network}",
                    "dockerd",
                    f"--data-root={self.data}",
                    f"--exec-root={self.directory / 'exec'}",
                    f"--pidfile={self.directory / 'pid'}",
                    f"--host=unix://{self.socket}",
                    *self.options,
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def answers(self) -> bool:
        """Say whether the daemon is there."""
        try:
            client = self.client()
        except docker.errors.DockerException:
            return False
        client.close()
        return True

    def client(self) -> docker.APIClient:
        """A client of this daemon."""
        return docker.APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=60)

    def load(self, name: str) -> str:
        """Bring a test image here from the machine's daemon; returns its name."""
        tag = image(name)
        assert tag == RECIPES[name].tag
        source, target = machine_client(), self.client()
        try:
            target.load_image(b"".join(source.get_image(tag)))
        finally:
            source.close()
            target.close()
        return tag

    def stop(self) -> None:
        """Let it end in order, which ends its containers."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word; its containers run on for now.

        Its containerd dies with it, but a new daemon takes even the dead one for alive until its parent has noticed.
        """
        pid = int((self.directory / "exec/containerd/containerd.pid").read_text())
        self._end(signal.SIGKILL)
        deadline = time.monotonic() + STOP_SECONDS
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of what it wrote."""
        return (self.directory / "log").read_text(errors="replace")[-3000:]

    def close(self) -> None:
        """End it with everything below it."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.stop()
        for pid in _pids_of(str(self.directory)):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((path for path in mounts if str(self.directory) in path), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        _run("ip", "netns", "delete", self.network)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(STOP_SECONDS)


@contextmanager
def inside(daemon: PrivateDaemon) -> Iterator[None]:
    """Be where a test's own daemon is: in its network namespace, as the agent of that node would be."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/var/run/netns/{daemon.network}", "rb") as away:
        _enter(away.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _pids_of(word: str) -> list[int]:
    """Processes (containerd and its shims) that were told of our directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if word in words:
                found.append(int(entry.name))
    return found


def _run(*words: str) -> None:
    subprocess.run(words, check=True, timeout=60)
