"""How many people there are at which second. Those of the seed (D91 to D94, P106) are here under their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Shape:
    """Steps of (seconds, people at their end), what the people do, and what the hub owes them.

    `requests` ends it earlier, after so many; `budgets` are bounds in ms, a share or requests a second.
    """

    seed: str
    work: str
    steps: tuple[tuple[float, int], ...]
    requests: int = 0
    budgets: dict[str, float] = field(default_factory=dict)

    def people(self, second: float, scale: float = 1.0) -> int | None:
        """How many there are now, moving evenly from step to step; None when it is over."""
        began, before = 0.0, 0
        for length, after in self.steps:
            length *= scale
            if second < began + length:
                return max(1, round(before + (after - before) * (second - began) / length))
            began, before = began + length, after
        return None

    @property
    def most(self) -> int:
        return max(people for _, people in self.steps)


def level(seconds: float, people: int) -> tuple[tuple[float, int], ...]:
    """As many from the first second to the last."""
    return (0.001, people), (seconds, people)


SEEDED = {"success": 0.99, "mean": 500}
SHAPES = {
    "live": Shape("budget", "live", level(20, 10), budgets={"rate": 1000, "p95": 12}),
    "mixed": Shape("D40, D91 light", "mixed", level(300, 10), requests=1000, budgets={"success": 0.999}),
    "pages": Shape("P106, budget", "pages", level(60, 100), budgets={"success": 0.999, "p95": 200}),
    "api": Shape("P106", "api", level(60, 100), budgets={"success": 0.999, "p95": 500}),
    "medium": Shape("D91", "mixed", level(HOUR, 100), requests=10_000, budgets=SEEDED),
    "heavy": Shape("D91", "mixed", level(HOUR, 500), requests=50_000, budgets=SEEDED),
    "stress": Shape(
        "D91",
        "mixed",
        tuple(step for people in (10, 50, 100, 200, 500, 1000) for step in level(MINUTE, people)),
        requests=30_000,
        budgets=SEEDED,
    ),
    "stairs": Shape(
        "D93",
        "paced",
        (
            (2 * MINUTE, 100),
            (5 * MINUTE, 100),
            (2 * MINUTE, 500),
            (5 * MINUTE, 500),
            (2 * MINUTE, 1000),
            (5 * MINUTE, 1000),
            (3 * MINUTE, 0),
        ),
        budgets={"success": 0.99, "p95": 2000},
    ),
    "ramp": Shape(
        "D94",
        "paced",
        ((MINUTE, 5), (5 * MINUTE, 50), (10 * MINUTE, 50), (MINUTE, 100), (MINUTE, 100)),
        budgets={"p95": 2000, "p99": 5000},
    ),
    "spike": Shape(
        "D94",
        "paced",
        (*level(MINUTE, 20), *level(MINUTE, 500), *level(MINUTE, 20), *level(MINUTE, 1000), *level(MINUTE, 20)),
        budgets={"p95": 8000},
    ),
    "endurance": Shape("D94", "paced", level(2 * HOUR, 30), budgets={"p95": 3000, "p99": 6000}),
}
"""In the seed a person of a ramp sends a request a second; so do those of `paced` here."""

ORDINARY = ("live", "mixed", "pages", "api")
"""What `make load` runs when nothing is named; the others take from minutes to hours (`--scale` shortens them)."""
