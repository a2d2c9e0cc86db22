"""The everyday commands of development, each in the virtual environment and with what it needs."""

import os
import subprocess
from collections.abc import Sequence

from . import bootstrap
from .console import Console
from .place import Place
from .throwaway import Throwaway

ROOMS = ("hub", "accounts", "monitoring", "servers", "challenges", "devices", "bench")
# Reading the settings needs values for everything that has no default; nothing connects to these.
NO_SERVICES = {
    "DATABASE_URL": "postgresql:///hub?host=/nonexistent",
    "REDIS_URL": "unix:///nonexistent?db=0",
    "HUB_SECRET_KEY": "0123456789" * 5,
    "HUB_SECRET_KEYS": "1:" + "A" * 43 + "=",
    "DJANGO_SETTINGS_MODULE": "hub.settings",
}
TOOLS = ("test", "lint", "types", "format", "migrations-check", "client", "bench", "chaos", "load", "docs", "sbom")


def run_tool(name: str, rest: Sequence[str], place: Place, console: Console) -> int:
    """Install what is missing, then run all of the tool's commands; the exit code is that of the first that failed."""
    bootstrap.prepare(place, console, development=True)
    if name == "migrations-check":
        return _migrations_check(place)
    environment = NO_SERVICES if name in ("types", "client", "sbom") else {}
    codes = [_run(command, place, environment) for command in _commands(name, list(rest), place)]
    return next(filter(None, codes), 0)


def _commands(name: str, rest: list[str], place: Place) -> list[list[str]]:
    rooms = [room for room in ROOMS if (place.checkout / room).is_dir()]
    return {
        "test": [["-m", "pytest", *(rest or _ordinary_tests())]],
        "lint": [
            ["-m", "ruff", "check", *(rest or ["."])],
            ["-m", "ruff", "format", "--check", *(rest or ["."])],
            [str(place.venv / "bin" / "lint-imports")],
            ["-m", "hub.tests.secret_scan"],
            # Ruff's S rules judge the rest, line by line and with reasons.
            ["-m", "bandit", "-q", "-lll", "-r", *rooms, "-x", "*/tests/*,*/migrations/*"],
        ],
        "types": [["-m", "mypy", *(rest or [*rooms, "conftest.py", "manage.py"])]],
        "format": [["-m", "ruff", "check", "--fix", *(rest or ["."])], ["-m", "ruff", "format", *(rest or ["."])]],
        "client": [["manage.py", "api_client", *rest]],
        "bench": [["-m", "bench", *rest]],
        "chaos": [["-m", "bench.chaos", *rest]],
        "load": [["-m", "bench.load", *rest]],
        "sbom": [["manage.py", "sbom", *rest]],
        "docs": [["-m", "mkdocs", "build", "--quiet", *rest]],
    }[name]


def _ordinary_tests() -> list[str]:
    """Return pytest's arguments when none are given: all tests in CI, those that are not slow for people."""
    workers = ["--numprocesses", "logical", "--maxprocesses", "4"]
    return workers if os.environ.get("HUB_TEST_ALL") == "1" else [*workers, "-m", "not slow"]


def _migrations_check(place: Place) -> int:
    """Ask whether a migration is missing, and whether the version before can live with those that are there.

    Django wants a database to look at.
    """
    servers = Throwaway(python=place.python)
    try:
        found = {name.upper(): servers.addresses[name] for name in ("database_url", "redis_url")}
        environment = {**NO_SERVICES, **found}
        missing = _run(["manage.py", "makemigrations", "--check", "--dry-run"], place, environment)
        return missing or _run(["manage.py", "lint_migrations"], place, environment)
    finally:
        servers.close()


def _run(command: Sequence[str], place: Place, environment: dict[str, str]) -> int:
    """Run a Python program of the virtual environment; Ctrl-C reaches it as well as us, so we wait for its end."""
    process = subprocess.Popen([place.python, *command], cwd=place.checkout, env={**os.environ, **environment})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
