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
import sys
import tempfile
import traceback
from pathlib import Path

import bench
from hub.launcher.throwaway import Throwaway

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
    chosen = parser.parse_args(argv)
    names = chosen.names
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
            return run(names)
        finally:
            services.close()


def run(names: list[str]) -> int:
    """Run and print; the database is migrated and empty at the start."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from bench.harness import BENCHMARKS, HEADER, row

    for module in pkgutil.iter_modules(bench.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"bench.{module.name}")
    if unknown := set(names) - set(BENCHMARKS):
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(sorted(BENCHMARKS))}.")
        return 2
    print(HEADER, flush=True)
    rows, missed = [], 0
    for name in names or sorted(BENCHMARKS):
        try:
            for figure in BENCHMARKS[name]():
                rows.append(row(figure))
                missed += not (figure.is_met or figure.is_met_at_reference)
                print(rows[-1], flush=True)
        except Exception:  # noqa: BLE001 - the others are measured all the same
            traceback.print_exc()
            rows.append(f"| {name} | ended with an error | – | – | – | – | **no** |")
            missed += 1
    if not names:
        TABLE.write_text(HEAD + machine() + "\n\n" + "\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return 1 if missed else 0


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
