"""What is kept for how long: every app registers its rules; one job a day applies them and records what went.

The preview asks the same querysets that the deletion takes, so what it shows is what would go. Rows go in batches, each
a transaction of its own, so that nobody waits for long and a job that is stopped has not worked in vain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, QuerySet
from django.utils import timezone

from . import tallies
from .models import RetentionRun

logger = logging.getLogger(__name__)
BATCH = 5_000


@dataclass(frozen=True)
class Preview:
    """What would go now."""

    count: int
    oldest: datetime | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Rule:
    """One kind of thing that is not kept for ever. `keeps` says in words what stays."""

    name: str
    label: str
    keeps: Callable[[], str]
    preview: Callable[[], Preview]
    forget: Callable[[], int]


_rules: dict[str, Rule] = {}


def register(rule: Rule) -> None:
    """Add a rule; apps do this in `AppConfig.ready`."""
    _rules[rule.name] = rule


def rules() -> list[Rule]:
    """All rules by name."""
    return [_rules[name] for name in sorted(_rules)]


def of_rows(
    name: str, label: str, keeps: Callable[[], str], rows: Callable[[], QuerySet[Any, Any]], *, time_field: str
) -> Rule:
    """The rule for rows of a table that a queryset finds."""

    def preview() -> Preview:
        found = rows().order_by()
        return Preview(found.count(), found.aggregate(oldest=Min(time_field))["oldest"])

    def forget() -> int:
        gone = 0
        while keys := list(rows().order_by().values_list("pk", flat=True)[:BATCH]):
            rows().model._base_manager.filter(pk__in=keys).delete()
            gone += len(keys)
        return gone

    return Rule(name, label, keeps, preview, forget)


def run(rule: Rule) -> RetentionRun | None:
    """Apply one rule and record what went; one that finds nothing leaves no record, one that fails says why."""
    before = rule.preview()
    if not before.count:
        return None
    error = ""
    gone = 0
    try:
        gone = rule.forget()
    except Exception as problem:
        logger.exception("retention of %s failed", rule.name, extra={"job": f"retention of {rule.name}"})
        error = type(problem).__name__
    return RetentionRun.objects.create(
        rule=rule.name, count=gone, bytes=0 if error else before.bytes, oldest=before.oldest, error=error
    )


def run_all() -> list[RetentionRun]:
    """Apply every rule; what is counted for Prometheus is added up first, so that no counter falls."""
    tallies.add_up()
    done = [made for rule in rules() if (made := run(rule))]
    for made in done:
        logger.info("retention: %s", made)
    return done


def last_runs() -> dict[str, RetentionRun]:
    """The latest record of each rule."""
    return {made.rule: made for made in RetentionRun.objects.order_by("rule", "-at").distinct("rule")}


def days_ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)
