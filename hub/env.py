"""Typed settings from the environment: each variable is declared once, with its help; a bad value stops the start.

A variable `NAME` may come from a file instead: `NAME_FILE=/run/secrets/name` (trailing newline stripped). An empty one
counts as not set. Beside a running hub the launcher's own files stand in for what is not set: `<data>/services.json`
(addresses of the embedded database and Redis) and `<data>/secrets.json` (generated keys).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar

from .launcher.embedded import Embedded, find_binaries
from .launcher.errors import BadSetting, LaunchError
from .launcher.place import MARKER, setting

T = TypeVar("T")
Network = IPv4Network | IPv6Network
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


class EnvError(SystemExit):
    """A variable is missing or wrong; ends the process with one sentence."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Configuration error: {name} {problem}")


@dataclass(frozen=True)
class Variable:
    """A declared variable, for the configuration table in the docs."""

    name: str
    kind: str
    default: str
    help: str


class Env:
    """Reads variables from a mapping (the process environment unless told) and remembers their declarations."""

    def __init__(self, source: Mapping[str, str] | None = None, fallbacks: Mapping[str, str] | None = None) -> None:
        self.source = os.environ if source is None else source
        self.fallbacks = dict(fallbacks or {})
        self.declared: dict[str, Variable] = {}

    def text(self, name: str, default: str | None = None, *, help: str = "") -> str:
        return self._read(name, "text", default, help, str)

    def integer(
        self, name: str, default: int, *, help: str = "", minimum: int | None = None, maximum: int | None = None
    ) -> int:
        def parse(raw: str) -> int:
            if not raw.strip().removeprefix("-").isdecimal():
                raise ValueError("must be a whole number")
            value = int(raw)
            if minimum is not None and value < minimum:
                raise ValueError(f"must be at least {minimum}")
            if maximum is not None and value > maximum:
                raise ValueError(f"must be at most {maximum}")
            return value

        return self._read(name, "integer", default, help, parse)

    def boolean(self, name: str, default: bool, *, help: str = "") -> bool:
        def parse(raw: str) -> bool:
            if raw.lower() in TRUE:
                return True
            if raw.lower() in FALSE:
                return False
            raise ValueError("must be yes or no")

        return self._read(name, "yes/no", default, help, parse)

    def choice(self, name: str, default: str, options: tuple[str, ...], *, help: str = "") -> str:
        def parse(raw: str) -> str:
            if raw not in options:
                raise ValueError(f"must be one of {', '.join(options)}")
            return raw

        return self._read(name, " / ".join(options), default, help, parse)

    def words(self, name: str, default: tuple[str, ...] = (), *, help: str = "") -> list[str]:
        def parse(raw: str) -> list[str]:
            return [word.strip() for word in raw.split(",") if word.strip()]

        return self._read(name, "list, by comma", list(default), help, parse)

    def networks(self, name: str, *, help: str = "") -> list[Network]:
        def parse(raw: str) -> list[Network]:
            return [ip_network(word.strip(), strict=False) for word in raw.split(",") if word.strip()]

        return self._read(name, "networks, by comma", [], help, parse)

    def path(self, name: str, default: Path, *, help: str = "") -> Path:
        return self._read(name, "path", default, help, lambda raw: Path(raw).expanduser().absolute())

    def _read(self, name: str, kind: str, default: T | None, help: str, parse: Callable[[str], T]) -> T:
        shown = ", ".join(map(str, default)) if isinstance(default, list) else str("" if default is None else default)
        self.declared[name] = Variable(name, kind, shown, help)
        raw = self._raw(name)
        if raw is None:
            if default is None:
                raise EnvError(name, "must be set")
            return default
        try:
            return parse(raw)
        except ValueError as error:
            raise EnvError(name, f"is not valid ({kind}): {error}") from None

    def _raw(self, name: str) -> str | None:
        try:
            return setting(self.source, name) or self.fallbacks.get(name)
        except BadSetting as error:
            raise EnvError(error.name, error.problem) from None


def local_fallbacks(data: Path, source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the launcher wrote beside a running hub, so that `manage.py` finds the embedded services by itself.

    Beside a database of one's own the embedded one does not run, and there is none to make base backups of.
    """
    services = _read_json(data / "services.json") or _stopped_services(data)
    is_elsewhere = bool(source.get("DATABASE_URL") or source.get("DATABASE_URL_FILE"))
    found = {
        "DATABASE_URL": services.get("database_url", ""),
        "REDIS_URL": services.get("redis_url", ""),
        "HUB_BACKUP_DATABASE_URL": "" if is_elsewhere else services.get("backup_database_url", ""),
        **_read_json(data / "secrets.json"),
    }
    return {name: str(value) for name, value in found.items() if value}


def _stopped_services(data: Path) -> dict[str, str]:
    """Where the embedded services will be when they run, so that a stopped or destroyed hub can be restored."""
    if not (data / MARKER).is_file():
        return {}
    try:
        embedded = Embedded(data, find_binaries(Path(sys.prefix)))
    except LaunchError:
        return {}
    return {
        "database_url": embedded.database_url,
        "redis_url": embedded.redis_url,
        "backup_database_url": embedded.backup_url,
    }


def default_data_dir(checkout: Path) -> Path:
    """Where a hub without HUB_DATA keeps its data: beside the checkout for a person, in /var/lib for root."""
    return Path("/var/lib/kutanga-hub") if os.geteuid() == 0 else checkout / ".run"


def _read_json(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
