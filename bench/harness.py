"""Figures, budgets and the table: a benchmark is a function that yields `Figure`s and is decorated with
`@benchmark`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """One measured line: ours, the raw limit of the same run (None where there is none), and the budget for one of
    them.

    `budget` is a bound on the ratio ours / raw when there is a raw limit, else on ours; `at_least` says which way.
    """

    name: str
    ours: float
    unit: str
    budget: float
    raw: float | None = None
    raw_name: str = ""
    at_least: bool = False
    spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.raw if self.raw else None

    @property
    def is_met(self) -> bool:
        value = self.ours if self.ratio is None else self.ratio
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


def per_second(work: Callable[[], object], times: int) -> float:
    """Calls a second, one after the other."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return times / (time.perf_counter() - start)


def loop_ms() -> float:
    """Milliseconds for 100,000 additions in a loop, the best of five: how fast this machine runs Python just now."""
    times = []
    for _ in range(5):
        start, total = time.perf_counter(), 0
        for number in range(100_000):
            total += number
        times.append(time.perf_counter() - start)
    return min(times) * 1000


HEADER = (
    "| figure | ours (min–max) | raw limit, same run | ratio | budget | met | loop |\n|---|---|---|---|---|---|---|"
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
    met = "yes" if figure.is_met else "**no**"
    return f"| {figure.name} | {ours} | {raw} | {ratio} | {budget} | {met} | {loop_ms():.1f} ms |"
