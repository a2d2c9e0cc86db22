"""`make bench [ARGS="name …"]`: measure on a PostgreSQL and Valkey of this run's own, print the table and write it to
the docs.

The servers keep their data safely on disk (fsync on), as in production. Exit code 1 when a budget is missed, for CPU
at the speed of its reference too.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import importlib
import os
import pkgutil
import platform
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from redis import Redis

import bench
from hub.launcher.throwaway import Throwaway

if TYPE_CHECKING:
    from bench.harness import Benchmark

MISSED = 3  # an exit code that no traceback has
MEASURED = (0, MISSED)
LOAD_BEFORE = os.getloadavg()[0]
TABLE = Path(__file__).parent.parent / "docs" / "measured.md"
HEAD = """# Measured

Written by `make bench`; every figure and its raw limit come from the same run on the same machine. Repeats differ by
up to 2–3 × on a busy machine: compare ratios. Figures of CPU are also told at the speed of the machine that their
budgets were set on, which works out PBKDF2 with SHA-256 and 1,000,000 iterations in 193 ms; the same hash is timed
between the rounds of each of these figures. "At that speed" means: met there, missed here.

"""


def main(argv: list[str]) -> int:
    """Start services, run the benchmarks named (all when none is), and write the table."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=")
    parser.add_argument("names", nargs="*", help="Benchmarks to run; the table is written only when all run.")
    parser.add_argument("--seconds", default="180", help="How long devices call in the benchmark of fleets (180).")
    parser.add_argument("--devices", default="10000", help="How many devices call there (10000).")
    parser.add_argument("--mib", default="1024", help="How large the file is that a device downloads there (1024).")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # one of them, in this process
    chosen = parser.parse_args(argv)
    if chosen.here:
        return measure(chosen.names[0])
    os.environ |= {"BENCH_SECONDS": chosen.seconds, "BENCH_DEVICES": chosen.devices, "BENCH_MIB": chosen.mib}
    services = Throwaway(durable=True)
    with tempfile.TemporaryDirectory(prefix="kutanga-bench-") as data:
        os.environ |= {
            "DATABASE_URL": services.addresses["database_url"],
            "REDIS_URL": services.addresses["redis_url"],
            "HUB_DATA": data,
            "HUB_SECRET_KEY": secrets.token_urlsafe(48),
            "HUB_SECRET_KEYS": "1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "HUB_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "hub.settings",
        }
        try:
            return run(chosen.names)
        finally:
            services.close()


def run(names: list[str]) -> int:
    """Run each in a process, on a database and in a directory of its own, and print; exit code 1 when one missed."""
    import django

    # In a process of its own: a database that somebody is connected to cannot be copied.
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True, cwd=Path(__file__).parents[1])
    django.setup()
    known = benchmarks()
    if unknown := set(names) - set(known):
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}.")
        return 2
    from bench.harness import HEADER

    print(HEADER, flush=True)
    rows: list[str] = []
    missed = False
    for name in names or sorted(known):
        with apart(name) as environment:
            command = [sys.executable, "-m", "bench", "--here", name]
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
                for line in process.stdout or ():
                    print(line, end="", flush=True)
                    rows += [line.rstrip()] if line.startswith("|") else []
        if process.returncode not in MEASURED:
            rows.append(f"| {name} | ended with an error | – | – | – | – | **no** |")
        missed |= process.returncode != 0
    if not names:
        TABLE.write_text(HEAD + machine() + "\n\n" + "\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return 1 if missed else 0


@contextmanager
def apart(name: str) -> Iterator[dict[str, str]]:
    """The environment of one benchmark: a copy of the migrated database, an empty Valkey, an empty directory."""
    url = os.environ["DATABASE_URL"]
    template = urlsplit(url).path[1:]
    Redis.from_url(os.environ["REDIS_URL"]).flushall()
    with psycopg.connect(url, dbname="postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
        with tempfile.TemporaryDirectory(dir=os.environ["HUB_DATA"]) as data:
            yield {**os.environ, "DATABASE_URL": urlsplit(url)._replace(path=f"/{name}").geturl(), "HUB_DATA": data}
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by name; Django is set up."""
    from bench.harness import BENCHMARKS

    for module in pkgutil.iter_modules(bench.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"bench.{module.name}")
    return BENCHMARKS


def measure(name: str) -> int:
    """Run one here and print its rows; exit code MISSED when one misses its budget."""
    import django

    django.setup()
    from bench.harness import row

    missed = False
    for figure in benchmarks()[name]():
        print(row(figure), flush=True)
        missed |= not (figure.is_met or figure.is_met_at_reference)
    return MISSED if missed else 0


def machine() -> str:
    """One line about where the figures come from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} CPUs, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}; load before the run "
        f"{LOAD_BEFORE:.1f}, after it {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
