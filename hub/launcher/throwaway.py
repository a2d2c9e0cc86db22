"""A PostgreSQL and a Valkey of their own for one test run, gone with the process that asked for them.

Run as a program it starts the servers, prints their addresses as one line of JSON and lives as long as its standard
input is open. So nothing is left behind when a test run is killed: the kernel closes the pipe, and tells it as well.
"""

import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from .embedded import CLEAN_ENVIRONMENT, Embedded, find_binaries
from .errors import LaunchError
from .processes import follow_parent, spawn, wait_until

START_SECONDS = 60.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Throwaway:
    """The asking side: start the servers, read their addresses, let them go."""

    def __init__(
        self,
        *,
        postgres: bool = True,
        valkey: bool = True,
        durable: bool = False,
        python: str | Path = sys.executable,
    ) -> None:
        wanted = ["--postgres"] * postgres + ["--valkey"] * valkey + ["--durable"] * durable
        self.process = subprocess.Popen(
            [python, "-m", __name__, *wanted],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
            preexec_fn=follow_parent(signal.SIGTERM),
        )
        if self.process.stdout is None:
            raise LaunchError("The servers for tests have no output to read.")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise LaunchError("The servers for tests did not start.")
        self.addresses: dict[str, str] = json.loads(line)

    def close(self) -> None:
        """Stop the servers and wait until their directory is gone."""
        self.process.communicate(timeout=30)


def main(wanted: list[str]) -> int:
    """Serve until standard input ends or somebody says stop."""
    said_stop = _listen_for_stop()
    root = Path(tempfile.mkdtemp(prefix="kutanga-test-", dir=_open_directory()))
    root.chmod(0o711)
    servers = Embedded(root, find_binaries(Path(sys.prefix)), volatile="--durable" not in wanted)
    children: list[tuple[subprocess.Popen[bytes], int]] = []
    try:
        servers.prepare()
        addresses = {"root": str(root)}
        if "--postgres" in wanted:
            children.append(_start(servers, "postgres"))
            servers.create_database()
            addresses["database_url"] = servers.database_url
        if "--valkey" in wanted:
            children.append(_start(servers, "valkey"))
            addresses["redis_url"] = servers.redis_url
        print(json.dumps(addresses), flush=True)
        select.select([sys.stdin, said_stop], [], [])
    except (LaunchError, BrokenPipeError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for child, how in children:
            child.send_signal(how)
        for child, _ in children:
            child.wait()
        servers.remove_sockets()
        shutil.rmtree(root, ignore_errors=True)
    return 0


def _listen_for_stop() -> socket.socket:
    """Turn stop signals into something to read: raised as an exception, one could fall into the cleaning up."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.detach())
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    return ours


def _start(servers: Embedded, name: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start one server and wait for its first answer; returns it with the signal that ends it at once."""
    log = servers.root / f"{name}.log"
    command, answers, how = {
        "postgres": (servers.postgres_command(), servers.postgres_answers, signal.SIGQUIT),
        "valkey": (servers.valkey_command(), servers.valkey_answers, signal.SIGKILL),
    }[name]
    with log.open("wb") as output:
        child = spawn(command, output=output, environment=CLEAN_ENVIRONMENT, account=servers.account, death_signal=how)
    if not wait_until(answers, START_SECONDS, give_up=lambda: child.poll() is not None):
        child.kill()
        child.wait()
        raise LaunchError(f"The {name} for tests did not start: {log.read_text(errors='replace')[-2000:]}")
    return child, how


def _open_directory() -> str | None:
    """Return a temporary directory that the servers' user may enter; as root ours may be closed to it."""
    for name in (tempfile.gettempdir(), "/var/tmp", "/tmp"):  # noqa: S108 - mkdtemp makes the name inside
        path = Path(name)
        if os.geteuid() != 0 or all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents)):
            return name
    return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
