"""The agent as devices have it: a copy of its package alone, in a process of its own, nothing of the hub beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

SOURCE: Path = settings.BASE_DIR / "agent" / "kutanga_agent"
PATIENCE = 60.0


class Program:
    """One device: where its package and its state are, and the commands of its program."""

    def __init__(self, place: Path, url: str) -> None:
        self.place, self.url = place, url
        self.state, self.log = place / "state", place / "agent.log"
        shutil.copytree(SOURCE, place / "lib" / "kutanga_agent", ignore=shutil.ignore_patterns("__pycache__"))
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {**kept, "PYTHONPATH": str(place / "lib")}
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "kutanga_agent", "--state", str(self.state), *words]

    def ask(self, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end; it has to go well."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.place,
            env=self.environment,
            input=said,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def enrol(self, *words: str, said: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.ask("enrol", "--hub", self.url, *words, said=said).stdout)
        return answer

    def status(self) -> dict[str, Any]:
        """What the program says that it remembers."""
        answer: dict[str, Any] = json.loads(self.ask("status").stdout)
        return answer

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run"), cwd=self.place, env=self.environment, stdout=log, stderr=log
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask or force it to end; answers its return code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(PATIENCE)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def read(self, name: str) -> str:
        """A file of the bundle's own directory; empty when there is none."""
        path = self.state / "data" / name
        return path.read_text() if path.exists() else ""


@contextmanager
def program(place: Path, url: str) -> Iterator[Program]:
    """A device that is ended with the test; what it has logged is shown when the test fails."""
    made = Program(place, url)
    try:
        yield made
    finally:
        made.stop(signal.SIGKILL)
        if made.log.exists():
            print(made.log.read_text())
