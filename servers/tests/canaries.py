"""Secrets that are planted everywhere, and the places where they must not turn up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psutil
from django.db import connection
from redis import Redis

from hub.engines.process.processes import WORKLOAD_VARIABLE
from hub.launcher.embedded import find_binaries


@dataclass
class Canaries:
    """Secrets by what they are."""

    secrets: dict[str, str] = field(default_factory=dict)

    def plant(self, what: str, secret: str) -> str:
        assert len(secret) >= 10, "too short to be found for certain"
        self.secrets[what] = secret
        return secret

    def found_in(self, text: str) -> list[str]:
        """Which of them stand there in the clear, or as JSON and addresses write them."""
        return sorted(what for what, secret in self.secrets.items() if any(form in text for form in forms(secret)))


def forms(secret: str) -> set[str]:
    return {secret, json.dumps(secret)[1:-1], quote(secret), quote_plus(secret)}


def database_dump() -> str:
    """The whole database as pg_dump writes it."""
    settings = connection.settings_dict
    command = [str(find_binaries(Path(sys.prefix)).postgres / "pg_dump"), "-U", settings["USER"], settings["NAME"]]
    host = ["-h", settings["HOST"]] if settings["HOST"] else []
    port = ["-p", settings["PORT"]] if settings["PORT"] else []
    done = subprocess.run([*command, *host, *port], capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


def redis_dump(redis: Redis) -> str:
    """Every key with its value; what is compressed, unpacked."""
    readers: dict[bytes, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": redis.xrange,
    }
    found = []
    for key in redis.scan_iter("*"):
        kind = redis.type(key)
        if kind in readers:
            found += [key, *_atoms(readers[kind](key))]
    return b"\n".join(found).decode(errors="replace")


def _atoms(value: Any) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
        with contextlib.suppress(zlib.error):
            yield zlib.decompress(value)
    elif isinstance(value, dict):
        yield from _atoms([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _atoms(item)


def arguments_of_all() -> str:
    """The command lines of every process of this machine."""
    return "\n".join(_read(f"/proc/{pid}/cmdline") for pid in psutil.pids())


def environments(*, of_workloads: bool) -> dict[str, str]:
    """What workloads, or the processes that look after them, have in their environment."""
    found = {}
    for process in psutil.process_iter():
        environment = _read(f"/proc/{process.pid}/environ")
        is_workload = f"{WORKLOAD_VARIABLE}=" in environment
        is_shim = "import shim.main" in _read(f"/proc/{process.pid}/cmdline")
        if is_workload if of_workloads else is_shim and not is_workload:
            found[f"{process.pid}"] = environment
    return found


def files_below(directory: Path) -> str:
    """The content of all files, the names included."""
    parts = []
    for path in directory.rglob("*"):
        parts.append(str(path))
        if path.is_file():
            parts.append(path.read_bytes().decode(errors="replace"))
    return "\n".join(parts)


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_bytes().decode(errors="replace").replace("\0", "\n")
    return ""


def hub_keys() -> dict[str, str]:
    """The keys of this run."""
    ring = os.environ["HUB_SECRET_KEYS"].partition(":")[2]
    return {"signing key": os.environ["HUB_SECRET_KEY"], "key ring": ring}
