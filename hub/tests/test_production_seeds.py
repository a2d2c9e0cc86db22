"""The page of what DhakaCart's inventory asks names every line, and tests that there are."""

from __future__ import annotations

import re

from django.conf import settings

from bench.load.__main__ import row
from bench.load.shapes import SHAPES

PAGE = settings.BASE_DIR / "docs" / "production-seeds.md"
SEEDS = {*(str(number) for number in range(1, 106)), "89b"}
UNTESTED = {
    *("1", "18", "19", "28", "42", "43", "44", "45", "51", "58", "59", "60", "62", "63", "89b", "105"),  # nothing to do
    *("27", "48", "57", "61", "100", "101", "102", "103"),  # pages
}
APPS = ("accounts", "hub", "monitoring")


def rows() -> list[tuple[set[str], list[str]]]:
    """The seeds of each line, and the tests it names."""
    lines = [line.split("|")[1:] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| D")]
    return [({*re.findall(r"D(\d+b?)", line[0])}, line[2].split("`")[1::2]) for line in lines]


def test_every_seed_has_one_line_and_a_test() -> None:
    named = [seed for seeds, _ in rows() for seed in seeds]

    assert sorted(named) == sorted(SEEDS)
    assert {seed for seeds, tests in rows() if not tests for seed in seeds} == UNTESTED


def test_the_tests_named_there_exist() -> None:
    files = [path for app in APPS for path in settings.BASE_DIR.glob(f"{app}/**/test_*.py")]
    known = {name for path in files for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}

    assert [name for _, tests in rows() for name in tests if name not in known] == []


def test_shapes_are_those_of_the_seeds() -> None:
    """D91: light, medium, heavy, stress. D93: stairs of k6. D94: ramp, spike, endurance. P106: a hundred people."""
    assert (SHAPES["mixed"].requests, SHAPES["mixed"].most) == (1000, 10)
    assert (SHAPES["medium"].requests, SHAPES["medium"].most) == (10_000, 100)
    assert (SHAPES["heavy"].requests, SHAPES["heavy"].most) == (50_000, 500)
    assert [people for _, people in SHAPES["stress"].steps][::2] == [10, 50, 100, 200, 500, 1000]
    assert [SHAPES["stairs"].people(minute * 60) for minute in (1, 4, 8, 16, 23)] == [50, 100, 300, 1000, 333]
    assert [SHAPES["spike"].people(minute * 60 + 30) for minute in range(5)] == [20, 500, 20, 1000, 20]
    assert SHAPES["endurance"].people(7199) == 30
    assert SHAPES["endurance"].people(7201) is None
    assert SHAPES["pages"].most == SHAPES["api"].most == 100


def test_shapes_are_shortened_and_end() -> None:
    assert SHAPES["stairs"].people(24.1 * 60, scale=1) is None
    assert SHAPES["stairs"].people(2.5 * 60, scale=0.1) is None
    assert SHAPES["stairs"].people(24, scale=0.1) == 100


def test_shape_that_got_no_answer_met_no_budget() -> None:
    silent = {"requests": 0, "rate": 0, "success": 0.0, "mean": 0, "p50": 0, "p95": 0, "p99": 0}

    assert not row("spike", SHAPES["spike"], silent)[1]
    assert row("spike", SHAPES["spike"], {**silent, "requests": 1})[1]
