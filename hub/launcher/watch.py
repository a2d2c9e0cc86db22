"""Look at a running hub: what runs, and what it writes."""

import json
import time
from pathlib import Path

from .console import Console, columns
from .errors import LaunchError
from .place import Lock, Place, read_json
from .plan import fetch

TAIL_LINES = 20


def status(place: Place, console: Console) -> int:
    """Print what runs, since when and how it feels; 3 when the hub does not run, 1 when something in it is ill."""
    state = read_json(place.state_file)
    if not place.is_ours() or Lock(place.data / "hub.lock").is_free():
        console.say("The hub is not running: `make up` starts it.")
        return 3
    console.say(
        f"The hub is {state.get('phase', 'starting')}: {state.get('address', place.address)}, data in {place.data}"
    )
    children = state.get("children", {})
    rows = [("PROCESS", "STATE", "PID", "FOR", "RESTARTS", "LOG")]
    for name, child in children.items():
        told = ("running", str(child["pid"])) if child["running"] else ("starting again", "-")
        rows.append((name, *told, _age(child["since"]), str(child["restarts"]), str(place.log(name))))
    for line in columns(rows):
        console.say(line)
    host, port = state.get("own_address", place.own_address)
    code, body = fetch(host, port, "/health")
    console.say(f"Health: {_describe_health(code, body)}")
    return 0 if code == 200 and all(child["running"] for child in children.values()) else 1


def _describe_health(code: int, body: bytes) -> str:
    """Put the health answer into one line: the whole, and every check that is not well."""
    if code == 0:
        return "the web server does not answer"
    try:
        found = json.loads(body)
        checks = [f"{check['name']} {check['state']}" for check in found["checks"] if check["state"] != "ok"]
        return f"{found['status']} ({', '.join(checks)})" if checks else str(found["status"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {code}"


def _age(since: float) -> str:
    seconds = max(0, int(time.time() - since))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def logs(place: Place, console: Console, name: str = "", *, follow: bool = True) -> int:
    """Print the last lines of one log or of all, then what is added."""
    known = sorted(path.stem for path in place.logs.glob("*.log"))
    if not known:
        raise LaunchError("There are no logs yet: `make up` starts the hub.")
    if name and name not in known:
        raise LaunchError(f"There is no log called {name}: choose one of {', '.join(known)}.")
    followers: dict[Path, Follower] = {}
    try:
        while True:
            for path in sorted(place.logs.glob(f"{name or '*'}.log")):
                if path not in followers:
                    followers[path] = Follower(path)
                prefix = "" if name else f"{path.stem:<10} | "
                for line in followers[path].read():
                    console.say(prefix + line)
            if not follow:
                return 0
            time.sleep(0.3)
    except KeyboardInterrupt:
        return 0


class Follower:
    """Read what is added to a file; begins a few lines before its end and anew when the file is cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes()
        self.position = len(content)
        for _ in range(TAIL_LINES + 1):
            self.position = content.rfind(b"\n", 0, max(self.position, 0))
            if self.position < 0:
                break
        self.position += 1

    def read(self) -> list[str]:
        """Return the complete lines since the last time."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            if size < self.position:
                self.position = 0
            file.seek(self.position)
            content = file.read()
        complete = content.rpartition(b"\n")[0]
        self.position += len(complete) + 1 if complete or content.startswith(b"\n") else 0
        return complete.decode(errors="replace").splitlines() if complete else []
