"""Figures, budgets and the table: a benchmark is a function that yields `Figure`s and is decorated with
`@benchmark`.

A shared machine runs half as fast at one minute as at another, and budgets of CPU were set on a faster one than most.
So a figure of CPU is taken together with the time of a fixed piece of work, a password hash, which that machine did in
`REFERENCE_HASH_MS`. The table shows what was measured, and what it comes to at that speed.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ROUNDS = 5
HASH_ITERATIONS = 1_000_000  # PBKDF2 with SHA-256, as Django hashes a password
REFERENCE_HASH_MS = 193.0


@dataclass(frozen=True)
class Figure:
    """One measured line: ours, the raw limit of the same run (None where there is none), and the budget for one of
    them.

    `budget` is a bound on the ratio ours / raw when there is a raw limit, else on ours; `at_least` says which way.
    `at_reference` is what a figure of CPU comes to at the speed of the machine that its budget was set on.
    """

    name: str
    ours: float
    unit: str
    budget: float
    raw: float | None = None
    raw_name: str = ""
    at_least: bool = False
    spread: tuple[float, float] | None = None
    at_reference: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw else None

    @property
    def is_met(self) -> bool:
        return self._is_within(self.ours if self.ratio is None else self.ratio)

    @property
    def is_met_at_reference(self) -> bool:
        return self.at_reference is not None and self._is_within(self.at_reference)

    def _is_within(self, value: float) -> bool:
        return value >= self.budget if self.at_least else value <= self.budget


Benchmark = Callable[[], Iterator[Figure]]
BENCHMARKS: dict[str, Benchmark] = {}


def benchmark(function: Benchmark) -> Benchmark:
    """Add a benchmark under its function's name."""
    BENCHMARKS[function.__name__] = function
    return function


def median_of(measure: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, tuple[float, float]]:
    """Measure several times: the median, with the least and the greatest."""
    values = [measure() for _ in range(rounds)]
    return statistics.median(values), (min(values), max(values))


def cpu_ms(work: Callable[[], object], times: int) -> float:
    """CPU milliseconds of this process for one call, over many."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) * 1000 / times


def cpu_figure(name: str, budget: float, measure: Callable[[], float]) -> Figure:
    """A figure of CPU milliseconds, each round of it beside the hash."""
    rounds = [(measure(), hash_ms()) for _ in range(ROUNDS)]
    costs = [cost for cost, _ in rounds]
    at_reference = statistics.median(cost * REFERENCE_HASH_MS / hashed for cost, hashed in rounds)
    spread = min(costs), max(costs)
    return Figure(name, statistics.median(costs), "ms", budget, spread=spread, at_reference=at_reference)


def hash_ms() -> float:
    """CPU milliseconds of the hash; a quarter of it is worked out."""
    parts = 4
    once = cpu_ms(lambda: hashlib.pbkdf2_hmac("sha256", b"password", b"salt", HASH_ITERATIONS // parts), 1)
    return once * parts


def per_second(work: Callable[[], object], times: int) -> float:
    """Calls a second, one after the other."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return times / (time.perf_counter() - start)


HEADER = (
    "| figure | ours (min–max) | raw limit, same run | ratio | at the reference's speed | budget | met |\n"
    "|---|---|---|---|---|---|---|"
)


def row(figure: Figure) -> str:
    """One line of the table."""
    sign = "≥" if figure.at_least else "≤"
    ours = f"{figure.ours:,.2f} {figure.unit}"
    if figure.spread:
        ours += f" ({figure.spread[0]:,.2f}–{figure.spread[1]:,.2f})"
    raw = f"{figure.raw:,.2f} {figure.unit}, {figure.raw_name}" if figure.raw is not None else "–"
    ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else "–"
    budget = f"{sign} {figure.budget:g}" + ("" if figure.ratio is not None else f" {figure.unit}")
    scaled = f"{figure.at_reference:,.2f} {figure.unit}" if figure.at_reference is not None else "–"
    met = "yes" if figure.is_met else "at that speed" if figure.is_met_at_reference else "**no**"
    return f"| {figure.name} | {ours} | {raw} | {ratio} | {scaled} | {budget} | {met} |"
