"""`make chaos [ARGS="web agent …"]`: break the parts named (all when none is) and write docs/chaos.md when all were.

Exit code 1 when people noticed more than a row allows, or for longer.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import psutil

from .dock import DockNode
from .faults import FAULTS, Fault
from .network import FarNode
from .world import Broken, World

TABLE = Path(__file__).parents[2] / "docs" / "chaos.md"
HEAD = """# Broken on purpose

Written by `make chaos`, which starts a hub as `make up` does, lets people read, write and play on it without a pause,
breaks one part after another, and watches. "Well again" counts from the fault, or from its end where it lasts, until
every part says it is well and reading and writing work; "a wish" until a game server that was asked to restart has done
so, the whole way from the web over the agent to the machine. A request that failed is one that people would have
noticed; they would have tried again. What each fault may cost is a bound in the code, and a run that exceeds one fails.
[Faults](faults.md) lists those that tests try.

"""
TAIL = """
The Docker daemon is stopped and frozen, and killed with live-restore, by tests of its own (`test_docker_faults.py`,
`test_engine_docker_faults.py`).
"""
OTHERS: dict[str, type[FarNode | DockNode]] = {"network": FarNode, "docker": DockNode}
TITLES = (
    "Broken",
    "Expected",
    "Heals",
    "Reads failed",
    "Writes failed",
    "Longest without an answer",
    "Game",
    "Well again",
    "A wish",
    "Bound",
)


def cells(*words: str) -> str:
    return f"| {' | '.join(words)} |"


COLUMNS = f"{cells(*TITLES)}\n{'|---' * len(TITLES)}|"


def main(argv: list[str]) -> int:
    """Run the faults and print a row for each."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=")
    parser.add_argument("names", nargs="*", help=f"Of {', '.join(FAULTS)}.")
    names = parser.parse_args(argv).names or list(FAULTS)
    if unknown := set(names) - set(FAULTS):
        parser.error(f"there is no fault {', '.join(sorted(unknown))}")
    world = World()
    rows, failed = [], 0
    try:
        world.start()
        for name in [each for each in names if each in OTHERS and has(FAULTS[each].needs)]:
            world.others[name] = OTHERS[name](world)
            world.others[name].start()
        print(COLUMNS, flush=True)
        for name in names:
            line, problem = one(world, FAULTS[name])
            rows.append(line)
            failed += bool(problem)
            print(line, flush=True)
            if problem:
                print(f"  {problem}", flush=True)
    finally:
        for other in world.others.values():
            other.close()
        world.close()
    if set(names) == set(FAULTS):
        TABLE.write_text(HEAD + machine() + "\n\n" + "\n".join([COLUMNS, *rows]) + "\n" + TAIL, encoding="utf-8")
    return 1 if failed else 0


def has(needs: str) -> bool:
    """Say whether this machine has what a fault needs."""
    return all(os.geteuid() == 0 if need == "root" else shutil.which(need) for need in needs.split(" and ") if need)


def one(world: World, fault: Fault) -> tuple[str, str]:
    """Break one thing and watch: the row, and what was worse than it may be."""
    if not has(fault.needs) or (fault.needs and not world.has_disk):
        why = f"not run: needs {fault.needs}"
        return cells(fault.name, fault.seen, fault.heals, why, *[""] * (len(TITLES) - 4)), why
    before = world.pid(fault.service) if fault.service else 0
    world.also = None
    world.use()
    time.sleep(1)
    undo = fault.act(world)
    time.sleep(fault.hold)
    undo()
    ended = time.monotonic()
    problem = ""
    well = wait_until_well(world, fault, before, ended)
    time.sleep(0.5)
    world.rest()
    reads, writes, game = world.watches
    longest = max(reads.longest, writes.longest)
    wish = time.monotonic() if world.restarts_game() else None
    for watch in world.watches:
        if watch.bad and watch.name not in fault.may_fail:
            problem += f"{watch.name} failed: {watch.bad[:5]}. "
    if well is None or well - ended > fault.bound:
        problem += f"not well within {fault.bound:g} s: {world.ask('GET', '/health')}. "
    if wish is None:
        problem += "a wish was not fulfilled. "
    row = cells(
        fault.name,
        fault.seen,
        fault.heals,
        f"{len(reads.bad)} of {len(reads.bad) + reads.good}",
        f"{len(writes.bad)} of {len(writes.bad) + writes.good}",
        f"{longest:.1f} s",
        "went on" if not game.bad else f"{len(game.bad)} refusals",
        f"{well - ended:.1f} s" if well else "**no**",
        f"{wish - ended:.1f} s" if wish else "**no**",
        f"{fault.bound:g} s",
    )
    return row, problem


def wait_until_well(world: World, fault: Fault, before: int, since: float) -> float | None:
    """When everything was well again, the new process there and people's reads and writes among it."""
    deadline = since + fault.bound + 10
    while (now := time.monotonic()) < deadline:
        reads, writes, _ = world.watches
        is_new = not fault.service or (
            world.pid(fault.service) != before and psutil.pid_exists(world.pid(fault.service))
        )
        is_used = is_new and min(reads.last_good, writes.last_good) > since
        if is_used and (world.also is None or world.also()) and world.is_well():
            return now
        time.sleep(0.1)
    return None


def machine() -> str:
    """One line about where the figures come from."""
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} CPUs, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}."
    )


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Broken as broken:
        sys.exit(f"The hub itself did not work: {broken}")
