"""Where this hub lives: the checkout, the data directory, the address, and who holds them."""

import base64
import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import errors

MARKER = ".kutanga-hub"
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """One hub on this machine, as the environment describes it."""

    data: Path
    bind: str = "127.0.0.1"
    port: int = 8000
    database_url: str = ""
    redis_url: str = ""
    url: str = ""
    checkout: Path = CHECKOUT

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Place":
        """Read the few names the launcher knows; everything else is for the settings."""
        default = "/var/lib/kutanga-hub" if os.geteuid() == 0 else CHECKOUT / ".run"
        port = setting(environment, "HUB_PORT") or "8000"
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise errors.LaunchError(f"HUB_PORT is {port!r}: it must be a number from 1 to 65535.")
        return cls(
            data=Path(setting(environment, "HUB_DATA") or default).expanduser().absolute(),
            bind=setting(environment, "HUB_BIND") or "127.0.0.1",
            port=int(port),
            database_url=setting(environment, "DATABASE_URL"),
            redis_url=setting(environment, "REDIS_URL"),
            url=setting(environment, "HUB_URL"),
        )

    @property
    def venv(self) -> Path:
        return self.checkout / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def services_file(self) -> Path:
        return self.data / "services.json"

    @property
    def state_file(self) -> Path:
        return self.data / "state.json"

    @property
    def address(self) -> str:
        """Return the address for a browser; loopback gets a name, which passkeys need."""
        if self.url:
            return self.url
        host = "localhost" if self.bind in ("127.0.0.1", "::1", "0.0.0.0", "::") else self.bind  # noqa: S104 - compared
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def own_address(self) -> tuple[str, int]:
        """Return host and port on which this machine reaches its own web server."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared
        return everywhere.get(self.bind, self.bind), self.port

    @property
    def device_state(self) -> Path:
        """Where the agent of the first device keeps what it knows."""
        return self.data / "device"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def claim(self) -> None:
        """Make the data directory, or recognise it as ours by its marker; a stranger's is refused."""
        try:
            self.data.mkdir(mode=0o700, parents=True)
            if os.geteuid() == 0:
                self.data.chmod(0o755)  # the servers' and the workloads' users live below it
            self._mark(created=True)
        except FileExistsError:
            if not self.data.is_dir():
                raise errors.not_writable(self.data) from None
            if not self.is_ours():
                self._adopt()
        except OSError as error:
            raise errors.not_writable(self.data, error) from error
        if not os.access(self.data, os.W_OK | os.X_OK):
            raise errors.not_writable(self.data)
        for name in ("logs", "backups", "static"):
            (self.data / name).mkdir(mode=0o700, exist_ok=True)

    def is_ours(self) -> bool:
        """Whether the data directory carries our mark; raises LaunchError where this user may not look."""
        try:
            return (self.data / MARKER).is_file()
        except PermissionError as error:
            raise errors.not_writable(self.data) from error

    def has_run(self) -> bool:
        """Whether a hub has once been completely up on these data."""
        return bool(read_json(self.data / MARKER).get("has_run"))

    def note_run(self) -> None:
        write_json(self.data / MARKER, {**read_json(self.data / MARKER), "has_run": True})

    def secrets(self) -> None:
        """Create the signing key and the key ring once; losing them makes stored secrets unreadable."""
        path = self.data / "secrets.json"
        if not path.exists():
            key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            write_json(path, {"HUB_SECRET_KEY": secrets.token_urlsafe(48), "HUB_SECRET_KEYS": f"1:{key}"})

    def delete(self) -> None:
        """Remove the data directory; one that was there before us keeps its own (empty) place."""
        if not self.is_ours():
            raise errors.foreign_directory(self.data)
        if read_json(self.data / MARKER).get("created"):
            shutil.rmtree(self.data)
            return
        for entry in self.data.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def _adopt(self) -> None:
        try:
            if any(self.data.iterdir()):
                raise errors.foreign_directory(self.data)
            self._mark(created=False)
        except OSError as error:
            raise errors.not_writable(self.data, error) from error

    def _mark(self, *, created: bool) -> None:
        write_json(self.data / MARKER, {"program": "kutanga-hub", "created": created})


class Lock:
    """Held by the one launcher that works on a data directory; the kernel frees it when that process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def take(self, *, wait: bool = False) -> bool:
        """Take the lock unless somebody has it."""
        file = self.path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def is_free(self) -> bool:
        free = not self.path.exists() or self.take()
        self.release()
        return free

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def setting(environment: Mapping[str, str], name: str) -> str:
    """Return a setting or what the file says that `<name>_FILE` names, nothing when neither is set.

    Raises BadSetting.
    """
    given, file = environment.get(name), environment.get(f"{name}_FILE")
    if given and file:
        raise errors.BadSetting(name, f"is set twice, also as {name}_FILE")
    return _read_secret(f"{name}_FILE", Path(file)) if file else given or ""


def _read_secret(name: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise errors.BadSetting(name, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise errors.BadSetting(name, "is not text") from None
    if not text:
        raise errors.BadSetting(name, "is an empty file")
    return text


def check_address(bind: str, port: int) -> None:
    """Refuse an address that the web server could not listen on, before any work is done."""
    try:
        found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise errors.bad_address(bind, port, error.strerror or "unknown name") from error
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if isinstance(error, PermissionError) or error.errno != errno.EADDRINUSE:
                raise errors.bad_address(bind, port, error.strerror or str(error)) from error
            raise errors.port_in_use(bind, port) from error


def check_space(path: Path, needed_mb: int) -> None:
    """Refuse a file system without room; a directory that does not exist yet is judged by its parent."""
    while not path.exists():
        path = path.parent
    free_mb = shutil.disk_usage(path).free // 2**20
    if free_mb < needed_mb:
        raise errors.no_space(path, needed_mb, free_mb)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file at once, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return a file's content, nothing when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
