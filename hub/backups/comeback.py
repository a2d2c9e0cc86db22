"""Bring the hub on this machine back from its backups: recover beside it, stop it, change places, start it again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from hub.exceptions import Conflict, Unavailable
from hub.launcher import up
from hub.launcher.console import Console
from hub.launcher.embedded import Embedded, find_binaries, make_directory
from hub.launcher.errors import LaunchError
from hub.launcher.place import MARKER, Lock, Place

from . import files, recovery
from .place import stamp

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a restore has done; `kept` is where the former data directory is."""

    recovered: recovery.Recovered
    kept: Path | None
    was_running: bool


def is_ours() -> bool:
    """Whether the database is the embedded one of this machine, which we may stop and replace."""
    return not os.environ.get("DATABASE_URL") and not os.environ.get("DATABASE_URL_FILE") and _marked()


def bring_back(found: recovery.Plan, say: Say) -> Outcome:
    """Recover, change places, and start again what was running. A failure leaves the hub as it was, running or not.

    For everything up to now the hub stops first, so that the last WAL is received;
    else only when the recovery has succeeded.
    """
    place = Place.from_environment({**os.environ, "HUB_DATA": str(settings.HUB_DATA)})
    lock = Lock(place.data / "hub.lock")
    was_running = not lock.is_free()
    try:
        embedded = Embedded(place.data, find_binaries(place.venv))
        make_directory(embedded.cluster.parent, 0o700, embedded.account)
        stopped = False
        try:
            if found.target.is_everything:
                stopped = _stop(place, say)
                found = recovery.plan(found.target, name=found.base.name)  # with the WAL of the last second
            new = embedded.cluster.with_name(f"recovered-{stamp()}")
            recovered = recovery.recover(found, new, account=embedded.account, say=say)
            stopped = stopped or _stop(place, say)
            if not lock.take():
                raise Conflict("Somebody has started the hub meanwhile, so nothing was changed.")
            try:
                kept = embedded.replace_cluster(new)
            finally:
                lock.release()
        finally:
            if stopped and was_running:
                _start(place, say)
    except LaunchError as error:
        raise Unavailable(str(error)) from error
    return Outcome(recovered, kept, was_running)


def bring_files(snapshot: files.Snapshot, say: Say) -> Path | None:
    """Put a snapshot's files and keys into the data directory; an embedded hub is stopped for it and started again."""
    files.verify_snapshot(snapshot)
    place = Place.from_environment({**os.environ, "HUB_DATA": str(settings.HUB_DATA)})
    lock = Lock(place.data / "hub.lock")
    was_running = _marked() and not lock.is_free()
    if was_running:
        _stop(place, say)
    try:
        if not lock.take():
            raise Conflict("Somebody has started the hub meanwhile, so nothing was changed.")
        kept = files.restore_files(snapshot)
        if not snapshot.has_keys:
            say("the keys are not in the snapshot: bring secrets.json along")
        elif files.restore_keys(snapshot):
            say("the keys of then are in secrets.json again")
            if named := files.keys_from_elsewhere(snapshot):
                say(f"this hub takes {' and '.join(named)} from its environment: put those of secrets.json there")
    finally:
        lock.release()
        if was_running:
            _start(place, say)
    return kept


def _stop(place: Place, say: Say) -> bool:
    say("stopping the hub")
    up.down(place, Console())
    return True


def _start(place: Place, say: Say) -> None:
    """Start the hub with the launcher's own command: it outlives us."""
    say("starting the hub")
    command = [str(place.python), "-m", "hub.launcher", "up", "--detach"]
    done = subprocess.run(command, cwd=place.checkout, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Unavailable("The hub does not start again: `make up` says why.")


def _marked() -> bool:
    return (settings.HUB_DATA / MARKER).is_file()
