"""Ranges as the API, charts, tables and CSV files show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from hub.pages.templatetags.ui import span

from . import events, query, subjects
from .metrics import BY_NAME, BYTES, PERCENT, RATE
from .models import Event


@dataclass(frozen=True)
class Found:
    """A range with the subjects it is about and what happened in it."""

    answer: query.Answer
    subjects: dict[str, subjects.Subject]
    events: list[Event]


def ask(
    user: Any,
    keys: Sequence[str],
    metrics: Sequence[str],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    points: int = 300,
    step: int | None = None,
) -> Found:
    """Read a range of subjects that the person may see, the last hour by default. Raises `NotFound`."""
    keys, metrics = list(dict.fromkeys(keys)), list(dict.fromkeys(metrics))
    found = {key: subjects.one(user, key) for key in keys} if len(keys) == 1 else _all(user, keys)
    end = end or timezone.now()
    start = start or end - timedelta(hours=1)
    answer = query.read(keys, metrics, start, end, points=points, step=step)
    happened = events.between(keys, start, end)
    return Found(answer, found, happened)


def _all(user: Any, keys: Sequence[str]) -> dict[str, subjects.Subject]:
    found = subjects.visible(user, keys)
    for key in keys:
        if key not in found:
            subjects.one(user, key)
    return found


def as_json(found: Found) -> dict[str, Any]:
    """The API's answer."""
    return {
        "step": found.answer.step,
        "times": found.answer.times,
        "series": [
            {
                "subject": values.subject,
                "name": found.subjects[values.subject].name,
                "metric": values.metric,
                "label": BY_NAME[values.metric].label,
                "unit": BY_NAME[values.metric].unit,
                "limit": found.subjects[values.subject].limits.get(values.metric),
                "min": values.least,
                "mean": values.mean,
                "max": values.greatest,
            }
            for values in found.answer.series
        ],
        "events": [
            {"subject": event.subject, "kind": event.kind, "text": event.text, "at": event.at.isoformat()}
            for event in found.events
        ],
    }


def as_rows(found: Found) -> list[dict[str, Any]]:
    """One row for each bucket in which something was measured."""
    return [
        {
            "time": datetime.fromtimestamp(at, UTC).isoformat(),
            "subject": values.subject,
            "name": found.subjects[values.subject].name,
            "metric": values.metric,
            "unit": BY_NAME[values.metric].unit,
            "min": values.least[index],
            "mean": values.mean[index],
            "max": values.greatest[index],
        }
        for values in found.answer.series
        for index, at in enumerate(found.answer.times)
        if values.mean[index] is not None
    ]


def told(value: float | None, unit: str) -> str:
    """A number as people read it."""
    if value is None:
        return "–"
    if unit == PERCENT:
        return f"{value:.1f} %"
    if unit in (BYTES, RATE):
        end = "/s" if unit == RATE else ""
        for size, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if value >= size:
                return f"{value / size:.1f} {name}{end}"
        return f"{value:.0f} B{end}"
    return f"{value:,.1f}".removesuffix(".0")


@dataclass(frozen=True)
class Summary:
    """One metric over the whole range."""

    label: str
    unit: str
    least: float | None
    mean: float | None
    greatest: float | None
    newest: float | None


def as_table(found: Found) -> dict[str, Any]:
    """Columns that hold something, rows newest first, and a summary of each column."""
    columns = [values for values in found.answer.series if values.known]
    several = len(found.subjects) > 1
    labels = [
        f"{found.subjects[each.subject].name}: {BY_NAME[each.metric].label}" if several else BY_NAME[each.metric].label
        for each in columns
    ]
    units = [BY_NAME[values.metric].unit for values in columns]
    rows = [
        (datetime.fromtimestamp(at, UTC), [told(each.mean[n], unit) for each, unit in zip(columns, units, strict=True)])
        for n, at in enumerate(found.answer.times)
        if any(each.mean[n] is not None for each in columns)
    ]
    summaries = [
        Summary(
            label,
            unit,
            min(value for value in each.least if value is not None),
            sum(each.known) / len(each.known),
            max(value for value in each.greatest if value is not None),
            each.known[-1],
        )
        for label, unit, each in zip(labels, units, columns, strict=True)
    ]
    return {
        "labels": labels,
        "rows": rows[::-1],
        "summaries": summaries,
        "step": span(timedelta(seconds=found.answer.step)),
    }
