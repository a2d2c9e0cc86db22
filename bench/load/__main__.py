"""`make load [ARGS="mixed pages --scale 0.1"]`: run the shapes named, print the table and write docs/load.md.

The hub runs as `make up` starts it, with its ordinary limits: each person has an account of his own, because limits are
counted by account and no crowd from one address would get through otherwise. Exit code 1 when a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from bench.chaos.__main__ import cells, machine
from bench.chaos.world import CHECKOUT, World

from .shapes import ORDINARY, SHAPES, Shape

TABLE = CHECKOUT / "docs" / "load.md"
ENVIRONMENT = CHECKOUT / ".venv-load"
ACCOUNTS = 100
HEAD = """# Under load

Written by `make load`, with [locust](https://locust.io) on the machine that the hub runs on, so both share its
processors; what else runs there takes its share too, so look at the load before the run. The shapes are in
`bench/load/shapes.py`; those that are not in the table were not run. A request that was answered by anything but what
it should be is a failure.

"""
TITLES = ("Shape", "Seed", "People", "Requests", "A second", "Answered", "Median", "p95", "p99", "Budget", "Met")
MAKE_ACCOUNTS = """
import json
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group
from accounts.models import User
from accounts.tokens import create_token
from accounts.actors import SYSTEM
made = []
for number in range({count}):
    user = User.objects.create_user(username=f"load-{{number}}", email=f"load-{{number}}@example.org")
    user.groups.add(Group.objects.get(name="Player"))
    _, token = create_token(user, name="load", actor=SYSTEM)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY], session[BACKEND_SESSION_KEY] = str(user.pk), settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    made.append({{"token": token, "session": session.session_key}})
print(json.dumps({{"accounts": made, "cookie": settings.SESSION_COOKIE_NAME}}))
"""


def main(argv: list[str]) -> int:
    """Start a hub, make accounts, and run one shape after another."""
    parser = argparse.ArgumentParser(prog="make load ARGS=")
    parser.add_argument("names", nargs="*", help=f"Of {', '.join(SHAPES)}; {', '.join(ORDINARY)} when none is named.")
    parser.add_argument("--scale", type=float, default=1.0, help="Part of the time and of the requests (1).")
    chosen = parser.parse_args(argv)
    names = chosen.names or list(ORDINARY)
    if unknown := set(names) - set(SHAPES):
        parser.error(f"there is no shape {', '.join(sorted(unknown))}")
    locust = prepare()
    world = World(rates={})
    rows, missed = [], 0
    busy = f"{os.getloadavg()[0]:.1f}"
    try:
        world.start()
        plan = json.loads(
            world.manage("shell", "--no-imports", "-c", MAKE_ACCOUNTS.format(count=ACCOUNTS)).splitlines()[-1]
        )
        plan |= {"host": f"http://localhost:{world.port}", "server": world.server, "owner": world.token}
        print(cells(*TITLES), "|---" * len(TITLES) + "|", sep="\n", flush=True)
        for name in names:
            told = run(locust, {**plan, "shape": name, "scale": chosen.scale})
            line, is_met = row(name, SHAPES[name], told)
            rows.append(line)
            missed += not is_met
            print(line, *(f"  {error}" for error in told["errors"][:5]), sep="\n", flush=True)
    finally:
        world.close()
    if names == list(ORDINARY) and chosen.scale == 1:
        table = "\n".join([cells(*TITLES), "|---" * len(TITLES) + "|", *rows])
        TABLE.write_text(f"{HEAD}{machine()} Load before the run: {busy}.\n\n{table}\n", encoding="utf-8")
    return 1 if missed else 0


def prepare() -> Path:
    """Locust in an environment of its own; what is there already is kept."""
    program = ENVIRONMENT / "bin" / "locust"
    wanted = CHECKOUT / "requirements-load.txt"
    mark = ENVIRONMENT / wanted.name
    if not mark.exists() or mark.read_bytes() != wanted.read_bytes():
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(wanted)]
        subprocess.run(pip, check=True)
        mark.write_bytes(wanted.read_bytes())
    return program


def run(locust: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """One shape: what locust measured."""
    with tempfile.TemporaryDirectory(prefix="kutanga-load-") as directory:
        plan["result"] = f"{directory}/result.json"
        path = Path(directory, "plan.json")
        path.write_text(json.dumps(plan))
        done = subprocess.run(
            [locust, "--headless", "--only-summary", "--locustfile", "bench/load/locustfile.py"],
            cwd=CHECKOUT,
            env={**os.environ, "LOAD_PLAN": str(path), "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if not Path(plan["result"]).exists():
            raise RuntimeError(done.stdout + done.stderr)
        told: dict[str, Any] = json.loads(Path(plan["result"]).read_text())
        return told


def row(name: str, shape: Shape, told: dict[str, Any]) -> tuple[str, bool]:
    """One line of the table, and whether the hub gave what it owes."""
    at_least = {"rate", "success"}
    bounds, is_met = [], told["requests"] > 0  # no request is no proof
    for figure, bound in shape.budgets.items():
        is_met &= told[figure] >= bound if figure in at_least else told[figure] <= bound
        unit = {"rate": " a second", "success": ""}.get(figure, " ms")
        bounds.append(f"{figure} {'≥' if figure in at_least else '≤'} {bound:g}{unit}")
    line = cells(
        f"`{name}`",
        shape.seed,
        str(shape.most),
        f"{told['requests']:,}",
        f"{told['rate']:,.0f}",
        f"{told['success']:.2%}",
        *(f"{told[figure]:,.0f} ms" for figure in ("p50", "p95", "p99")),
        ", ".join(bounds),
        "yes" if is_met else "**no**",
    )
    return line, is_met


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
