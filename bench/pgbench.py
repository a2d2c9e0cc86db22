"""PostgreSQL's own load generator as the raw limit: the SQL of a transaction, captured from the hub itself and
replayed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connection
from psycopg import ClientCursor

from hub.launcher.embedded import find_binaries

SECONDS = 3


@contextmanager
def captured() -> Iterator[list[str]]:
    """Collect the statements that run inside, with their values filled in."""
    statements: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(ClientCursor(connection.connection).mogrify(sql, params) if params else sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements


def script(statements: list[str]) -> str:
    """One transaction as a pgbench script."""
    lines = [re.sub(r"\s+", " ", statement).strip().rstrip(";") + ";" for statement in statements]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"]) + "\n"


def transactions_per_second(text: str, *, clients: int, seconds: int = SECONDS) -> float:
    """Run a script and return pgbench's own figure, connection time left out. Raises RuntimeError when one fails."""
    program = find_binaries(Path(sys.prefix)).postgres / "pgbench"
    settings = connection.settings_dict
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(text)
        file.flush()
        command = [
            str(program),
            "-n",
            "-f",
            file.name,
            "-c",
            str(clients),
            "-j",
            str(min(clients, 2)),
            "-T",
            str(seconds),
        ]
        command += ["-M", "prepared", "-h", settings["HOST"], "-U", settings["USER"], settings["NAME"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+) \(without", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"pgbench failed: {done.stderr[-500:]}")
    return float(found.group(1))
