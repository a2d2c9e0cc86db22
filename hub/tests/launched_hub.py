"""A hub that was started by the launcher's own commands, and is asked as a person asks it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.launcher.place import read_json
from hub.launcher.processes import Identity

CHECKOUT = Path(__file__).parents[2]
OURS = ("DATABASE_URL", "REDIS_URL", "HUB_", "DJANGO_", "PYTEST_", "MAKE", "MFLAGS")


class Hub:
    """A hub of its own: a directory, a port, and the commands on it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        names = {"HUB_DATA": str(data), "HUB_PORT": str(self.port), "HUB_SWEEP_SECONDS": "1"}
        names["HUB_LOCAL_ENGINE"] = "process"
        self.environment = {**kept, **names}

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hub.launcher", *arguments],
            cwd=CHECKOUT,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str]:
        process = self.start(*arguments, **more)
        output, _ = process.communicate(timeout=280)
        return process.returncode, output

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=CHECKOUT, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=120) as answer:
            return answer.status

    def processes(self) -> dict[str, Identity]:
        """Return who runs: the supervisor and its children."""
        state = read_json(self.data / "state.json")
        found = {name: Identity(child["pid"], child["identity"]) for name, child in state["children"].items()}
        return {**found, "supervisor": Identity(state["pid"], state["identity"])}

    def devices(self) -> list[dict[str, object]]:
        """Return the devices with whether they call."""
        script = (
            "import json; from devices.models import Device; rows = Device.objects.with_liveness(); "
            "print(json.dumps(list(rows.values('number', 'status', 'liveness', 'beat__counter', 'beat__health'))))"
        )
        return json.loads(self.manage("shell", "--no-imports", "-c", script).splitlines()[-1])

    def servers(self) -> list[dict[str, object]]:
        """Return the game servers with what the database knows of them."""
        script = (
            "import json; from servers.models import GameServer; "
            "print(json.dumps(list(GameServer.objects.values('name', 'observed_status', 'restart_count'))))"
        )
        return json.loads(self.manage("shell", "--no-imports", "-c", script).splitlines()[-1])

    def answers(self) -> bool:
        try:
            return self.ask("/health/ready") == 200
        except OSError:
            return False


@contextmanager
def launched_hub() -> Iterator[Hub]:
    """A hub that does not run yet; its directory is one that every user may enter, as the servers' own users must."""
    root = Path(tempfile.mkdtemp(prefix="kutanga-test-", dir="/tmp"))
    root.chmod(0o755)
    subject = Hub(root / "data")
    try:
        yield subject
    finally:
        subject.run("reset", "--yes")
        shutil.rmtree(root)
