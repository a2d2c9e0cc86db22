"""A hub as `make up` starts it, on scratch data, with people who use it and a game server that somebody plays on."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.launcher.place import read_json

CHECKOUT = Path(__file__).parents[2]
OURS = ("DATABASE_URL", "REDIS_URL", "HUB_", "DJANGO_", "PYTEST_", "MAKE", "MFLAGS")
DISK_MB = 1200
START_SECONDS = 280
PAUSE = 0.05
RATES = {"HUB_API_RATE_ANONYMOUS": "0", "HUB_API_RATE_USER": "0"}  # as many requests as anybody likes


class Broken(Exception):
    """The hub did not do what every hub does."""


@dataclass
class Watch:
    """What one kind of request met: every answer with when it came."""

    name: str
    good: int = 0
    bad: list[tuple[float, str]] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    last_good: float = field(default_factory=time.monotonic)

    def note(self, problem: str) -> None:
        now = time.monotonic()
        if problem:
            self.bad.append((now, problem))
            return
        self.good += 1
        self.gaps.append(now - self.last_good)
        self.last_good = now

    @property
    def longest(self) -> float:
        """The longest time without a good answer, seconds."""
        return max([*self.gaps, time.monotonic() - self.last_good])


class World:
    """One hub; `close` removes every trace. As root its data lie on a small disk of their own, which can be filled."""

    def __init__(self, rates: Mapping[str, str] = RATES) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="kutanga-chaos-", dir="/tmp"))
        self.root.chmod(0o755)
        self.data = self.root / "data"
        self.has_disk = os.geteuid() == 0 and self._mount()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = {
            **kept,
            **rates,
            "HUB_DATA": str(self.data),
            "HUB_PORT": str(self.port),
            "HUB_LOCAL_ENGINE": "process",
            "HUB_SWEEP_SECONDS": "1",
        }
        self.token = self.server = self.game = ""
        self.watches: list[Watch] = []
        self.others: dict[str, Any] = {}
        """Second nodes, by the fault that needs them."""
        self.also: Callable[[], bool] | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def _mount(self) -> bool:
        options = f"size={DISK_MB}m,mode=0755"
        command = ["mount", "-t", "tmpfs", "-o", options, "kutanga-chaos", str(self.root)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def start(self) -> None:
        """Start it, log in, and find the game server that every first start makes."""
        said = self._launch("up", "--detach")
        found = re.search(r"admin / (\S{12,})", said)
        if found is None:
            raise Broken(said)
        access = self.json("POST", "/api/v1/auth/login", {"username": "admin", "password": found[1]})["access"]
        made = self.json("POST", "/api/v1/tokens", {"name": "chaos", "scopes": []}, access=access)
        self.token = made["token"]
        (server,) = self.json("GET", "/api/v1/servers")["results"]
        self.server, self.game = server["id"], server["address"]

    def _launch(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hub.launcher", *words],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise Broken(done.stdout + done.stderr)
        return done.stdout

    def manage(self, *words: str) -> str:
        """Run a management command on the hub's database."""
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(
            command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise Broken(done.stdout + done.stderr)
        return done.stdout

    def pid(self, name: str) -> int:
        """The process that the launcher keeps under this name."""
        return int(read_json(self.data / "state.json")["children"][name]["pid"])

    # --- Asking ---------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: object = None, *, access: str = "", timeout: float = 10
    ) -> tuple[int, Any]:
        """One request on a connection of its own: status 0 when it broke."""
        scheme, credential = ("Bearer", access) if access else ("Token", self.token)
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"{scheme} {credential}"} if credential else {}
        )
        client = http.client.HTTPConnection("localhost", self.port, timeout=timeout)
        try:
            client.request(method, path, None if body is None else json.dumps(body), headers)
            answer = client.getresponse()
            content = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(content) if is_json else content.decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__
        finally:
            client.close()

    def json(self, method: str, path: str, body: object = None, *, access: str = "") -> Any:
        status, found = self.ask(method, path, body, access=access)
        if not 200 <= status < 300:
            raise Broken(f"{method} {path}: {status} {found}")
        return found

    def is_well(self) -> bool:
        """Say whether every part says that it is well, agent and scheduler included; the disk is small on purpose."""
        status, health = self.ask("GET", "/health", timeout=5)
        return status == 200 and all(check["state"] == "ok" or check["name"] == "disk" for check in health["checks"])

    def restarts_game(self) -> bool:
        """Ask for a restart and see it done: the whole way, from the web over the agent to the machine."""
        status, answer = self.ask("POST", f"/api/v1/servers/{self.server}/restart")
        if status != 202:
            return False
        wanted = answer["operation"]["id"]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status, rows = self.ask("GET", f"/api/v1/servers/{self.server}/operations")
            if status == 200 and any(row["id"] == wanted and row["status"] == "done" for row in rows["results"]):
                return True
            time.sleep(0.1)
        return False

    # --- People ---------------------------------------------------------------------------------------------------

    def use(self) -> None:
        """Let people read, write and play from now on; what they met before is forgotten."""
        self.watches = [Watch("reads"), Watch("writes"), Watch("game")]
        self._stop.clear()
        works = (self._reads, self._writes, self._plays)
        self._threads = [
            threading.Thread(target=self._go_on, args=(watch, work))
            for watch, work in zip(self.watches, works, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        """Let them stop."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, watch: Watch, work: Callable[[], str]) -> None:
        while not self._stop.is_set():
            watch.note(work())
            self._stop.wait(PAUSE)

    def _reads(self) -> str:
        status, _ = self.ask("GET", f"/api/v1/servers/{self.server}")
        return "" if status == 200 else str(status)

    def _writes(self) -> str:
        status, _ = self.ask("PATCH", f"/api/v1/servers/{self.server}", {"description": f"at {time.monotonic():.3f}"})
        return "" if status == 200 else str(status)

    def _plays(self) -> str:
        try:
            self._join()
        except OSError as error:
            return type(error).__name__
        return ""

    def _join(self) -> None:
        host, _, port = self.game.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=2):
            pass

    @staticmethod
    def plays_on(join: Callable[[], None]) -> bool:
        """Say whether somebody can join a game."""
        try:
            join()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Stop it and remove it."""
        self.rest()
        with contextlib.suppress(Broken, subprocess.TimeoutExpired):
            self._launch("reset", "--yes")
        if self.has_disk:
            subprocess.run(["umount", "--lazy", str(self.root)], capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)
