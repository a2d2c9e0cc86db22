"""What the agent remembers: one directory that only its user reads, with files that are replaced as a whole."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)
RESERVED_MICROSECONDS = 600_000_000


@dataclass
class Memory:
    """The content of `agent.json`. `settings` is what the hub has configured."""

    hub: str = ""
    device_id: str = ""
    identity: dict[str, Any] = field(default_factory=dict)
    device_type: str = ""
    counter_reserved: int = 0
    clock_offset: float = 0.0
    log_sequence: int = 0
    bundle_version: str = ""
    bundle_id: str = ""
    sealing_key: str = ""
    config_version: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    commands_done: list[str] = field(default_factory=list)


class State:
    """The state directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._unwritten: dict[str, bytes] = {}
        self.memory = Memory(**self._stored())
        self._saved = deepcopy(asdict(self.memory))
        self._counter = self.memory.counter_reserved

    @property
    def now(self) -> float:
        """The time as the hub has it."""
        return time.time() + self.memory.clock_offset

    def next_counter(self) -> int:
        """A number above every one before, also after a crash or with a clock that went back.

        It follows the clock in microseconds. The file says up to where numbers may have been used, so it is written
        once in ten minutes and not for each request.
        """
        self._counter = max(self._counter + 1, int(self.now * 1_000_000))
        if self._counter >= self.memory.counter_reserved:
            self.memory.counter_reserved = self._counter + RESERVED_MICROSECONDS
            try:  # a full disk must not silence the device; the hub tells the counter to who lost it
                self.save()
            except OSError as error:
                logger.warning("the counter cannot be stored: %s", error)
        return self._counter

    def raise_counter(self, known: int) -> None:
        """Go on above a number that the hub has seen."""
        self._counter = max(self._counter, known)

    def save(self) -> None:
        """Store what has changed here; what another program has stored in between, such as `rotate-key`, is kept."""
        with self._alone():
            for name, value in self._stored().items():
                if getattr(self.memory, name) == self._saved[name]:
                    setattr(self.memory, name, value)
            self.write("agent.json", json.dumps(asdict(self.memory), indent=2, sort_keys=True).encode())
            self._saved = deepcopy(asdict(self.memory))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other program of this device stores anything meanwhile."""
        directory = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield
        finally:
            os.close(directory)

    def write(self, name: str, content: bytes) -> None:
        """Put a file in the place of the one before; a crash leaves one or the other."""
        path = self.place / name
        part = path.with_name(f".{name}.{secrets.token_hex(4)}")
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def keep(self, name: str, content: bytes) -> None:
        """Put a file there, or remember it until this program ends while the disk takes nothing."""
        try:
            self.write(name, content)
            self._unwritten.pop(name, None)
        except OSError as error:
            logger.warning("%s cannot be stored: %s", name, error)
            self._unwritten[name] = content

    def forget(self, name: str) -> None:
        self._unwritten.pop(name, None)
        (self.place / name).unlink(missing_ok=True)

    def read(self, name: str) -> bytes | None:
        if name in self._unwritten:
            return self._unwritten[name]
        try:
            return (self.place / name).read_bytes()
        except FileNotFoundError:
            return None

    def _stored(self) -> dict[str, Any]:
        content = self.read("agent.json")
        data = json.loads(content) if content else {}
        names = {each.name for each in fields(Memory)}
        return {name: value for name, value in data.items() if name in names}
