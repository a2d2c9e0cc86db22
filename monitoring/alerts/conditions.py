"""What rules can ask: each app registers what it knows in `AppConfig.ready`, as with subjects.

A condition looks once for one rule and answers what is bad now; what it does not name is well. Where its looking needs
numbers that may be missing (an agent is silent), silence keeps an alert as it is for a while: see `evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from monitoring.metrics import BY_NAME
from monitoring.subjects import Subject

if TYPE_CHECKING:
    from .models import AlertRule


@dataclass(frozen=True)
class Hit:
    """One subject that is bad now. `since` tells when it began, where that is known better than by looking."""

    subject: Subject
    value: float | None = None
    text: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Look:
    """What a condition found. `seen` are the subjects it could look at, when these are not all there are."""

    hits: Iterable[Hit]
    seen: frozenset[str] | None = None


Find = Callable[["AlertRule", datetime], "Iterable[Hit] | Look"]


@dataclass(frozen=True)
class Condition:
    """One kind of question. `unit` is that of the threshold; empty where there is none."""

    key: str
    label: str
    find: Find
    unit: str = ""
    needs_metric: bool = False

    def unit_of(self, rule: AlertRule) -> str:
        return BY_NAME[rule.metric].unit if self.needs_metric and rule.metric in BY_NAME else self.unit


_conditions: dict[str, Condition] = {}


def register(*conditions: Condition) -> None:
    """Add conditions; one with a key that is there replaces it."""
    _conditions.update({condition.key: condition for condition in conditions})


def find(key: str) -> Condition | None:
    return _conditions.get(key)


def known() -> Mapping[str, Condition]:
    """All of them by key, in the order of their registration."""
    return _conditions


def choices() -> list[tuple[str, str]]:
    return [(condition.key, condition.label) for condition in _conditions.values()]
