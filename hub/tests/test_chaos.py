"""`make chaos` on two of its rows, so that what breaks a whole hub on purpose does not itself break unseen."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from django.conf import settings

from bench.chaos.faults import FAULTS

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def test_two_parts_are_killed_under_load_and_the_hub_is_well_again() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.chaos", "redis", "scheduler"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "| went on |" in line
    ]
    assert len(rows) == 2, done.stdout
    for row in rows:
        reads, writes = (re.fullmatch(r"(\d+) of (\d+)", cell) for cell in row[3:5])
        assert reads
        assert writes
        assert int(reads[2]) - int(reads[1]) > 5, "is anybody asking?"
        assert int(writes[2]) - int(writes[1]) > 2, "is anybody writing?"


def test_every_fault_that_was_asked_for_has_its_row() -> None:
    rows = (settings.BASE_DIR / "docs" / "chaos.md").read_text(encoding="utf-8")

    assert {*FAULTS} == {"web", "agent", "scheduler", "redis", "postgres", "docker", "disk", "network"}
    assert [
        name for name, fault in FAULTS.items() if f"| {fault.name} | {fault.seen} | {fault.heals} |" not in rows
    ] == []
    assert "**no**" not in rows
