"""The list of what PACSTAR's inventory asks names every line, and tests that there are."""

from __future__ import annotations

import re

from django.conf import settings

PAGE = settings.BASE_DIR / "docs" / "challenges-seeds.md"
SEEDS = {*range(8, 42), *range(55, 109)}
MISSING = {99, 106}
"""What comes later, and what is measured, see there."""
APPS = ("challenges", "hub", "accounts", "monitoring")


def rows() -> list[tuple[set[int], list[str]]]:
    """The seeds of each line, and the tests it names."""
    lines = [line.split("|")[1:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| P")]
    return [({int(number) for number in re.findall(r"P(\d+)", line[0])}, line[2].split("`")[1::2]) for line in lines]


def test_every_seed_has_one_line_and_a_test() -> None:
    named = [seed for seeds, _ in rows() for seed in seeds]

    assert sorted(named) == sorted(SEEDS)
    assert {seed for seeds, tests in rows() if not tests for seed in seeds} == MISSING


def test_the_tests_named_there_exist() -> None:
    files = [path for app in APPS for path in settings.BASE_DIR.glob(f"{app}/**/test_*.py")]
    known = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}

    assert [name for _, tests in rows() for name in tests if name not in known] == []


def test_p105_has_42_tests() -> None:
    text = (settings.BASE_DIR / "challenges/tests/test_p105_events.py").read_text(encoding="utf-8")

    assert [int(number) for number in re.findall(r"def test_p105_[a-z]+_(\d\d)_", text)] == list(range(1, 43))
