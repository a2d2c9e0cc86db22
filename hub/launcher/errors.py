"""What can stop a start, each as one sentence that names the way out."""

import errno
import re
import shutil
from pathlib import Path

NO_SPACE = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded", re.IGNORECASE)
LEAST_ROOM = 2**20


class LaunchError(Exception):
    """Stop the command with one sentence for the person at the terminal."""


class BadSetting(LaunchError):
    """A setting that cannot be used; told without its value."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Configuration error: {name} {problem}")
        self.name, self.problem = name, problem


class AlreadyRunning(LaunchError):
    """Another launcher holds the data directory."""


def python_too_old(found: str) -> LaunchError:
    return LaunchError(
        f"Python 3.11 or newer is needed and this is {found}: install a newer one and run `make up PYTHON=python3.12`."
    )


def venv_missing() -> LaunchError:
    return LaunchError(
        "Python's venv module is missing: install it with `apt install python3-venv` and run this again."
    )


def port_in_use(bind: str, port: int) -> LaunchError:
    return LaunchError(
        f"Port {port} on {bind} is in use by another program: stop that program or choose another port with "
        f"`make up HUB_PORT={port + 1}`."
    )


def bad_address(bind: str, port: int, reason: str) -> LaunchError:
    return LaunchError(
        f"Cannot listen on {bind} port {port} ({reason}): set HUB_BIND and HUB_PORT to an address of this machine."
    )


def no_space(path: Path, needed_mb: int, free_mb: int) -> LaunchError:
    return LaunchError(f"{path} has {free_mb} MB free and {needed_mb} MB are needed: make room and run this again.")


def is_full_disk(error: OSError) -> bool:
    """Whether there was no room left; a copy of many files says so in its words alone."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or bool(NO_SPACE.search(str(error)))


def full_disk(error: OSError | None = None, path: Path | None = None) -> LaunchError:
    name = path or (error.filename if error else None)
    where = f" ({name} could not be written)" if isinstance(name, str | Path) else ""
    return LaunchError(f"The disk is full{where}: make room and run this again.")


def no_network(what: str, log: Path) -> LaunchError:
    return LaunchError(
        f"{what} could not be downloaded because the package index cannot be reached: check the network or proxy "
        f"(details in {log})."
    )


def install_failed(what: str, log: Path) -> LaunchError:
    return LaunchError(f"{what} could not be installed: the reason stands at the end of {log}.")


def not_writable(path: Path, error: OSError | None = None) -> LaunchError:
    if error is not None and is_full_disk(error):
        return full_disk(error)
    return LaunchError(
        f"The data directory {path} cannot be written by this user: choose another with HUB_DATA=/some/directory."
    )


def not_reachable(path: Path, user: str) -> LaunchError:
    return LaunchError(
        f"The user {user}, which runs the database, may not enter {path}: choose a data directory that every user may "
        "enter, such as HUB_DATA=/var/lib/kutanga-hub."
    )


def foreign_directory(path: Path) -> LaunchError:
    return LaunchError(
        f"{path} is not empty and was not made by this program, so it is left alone: choose another with "
        "HUB_DATA=/some/directory."
    )


def service_failed(name: str, reason: str, log: Path) -> LaunchError:
    return _if_full(log) or LaunchError(f"{name} did not start ({reason}): {_last_words(log)}see {log}.")


def step_failed(name: str, reason: str, log: Path) -> LaunchError:
    return _if_full(log) or LaunchError(f"The step {name} failed ({reason}): {_last_words(log)}see {log}.")


def _if_full(log: Path) -> LaunchError | None:
    """A disk without room explains every failure, and no log could say so."""
    try:
        return full_disk(path=log) if shutil.disk_usage(log.parent).free < LEAST_ROOM else None
    except OSError:
        return None


def _last_words(log: Path) -> str:
    """Return the last line of a log, which mostly names the reason."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"{last}; " if last else ""


def foreign_owner(path: Path) -> LaunchError:
    return LaunchError(f"{path} belongs to somebody else: remove it or choose another data directory with HUB_DATA.")
