"""Sparklines for lists: the shape that a metric had within the last hour.

Fifty of them would be a third of the cost of a list, and they change little from one look to the next: each is kept for
a minute.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from django.core.cache import cache
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from . import query
from .metrics import BY_NAME
from .presentation import told

WIDTH, HEIGHT = 72, 24
SPAN, STEP = timedelta(hours=1), 120
KEPT_SECONDS = 60


def last_hour(keys: Collection[str], metric: str) -> dict[str, SafeString]:
    """One picture for each subject, by its key."""
    named = {f"spark:{metric}:{key}": key for key in keys}
    drawn: dict[str, SafeString] = cache.get_many(named)
    if missing := [key for name, key in named.items() if name not in drawn]:
        now = timezone.now()
        answer = query.read(missing, [metric], now - SPAN, now, step=STEP)
        shape = BY_NAME[metric]
        fresh = {f"spark:{metric}:{one.subject}": sparkline(one.mean, shape.label, shape.unit) for one in answer.series}
        cache.set_many(fresh, KEPT_SECONDS)
        drawn |= fresh
    return {named[name]: picture for name, picture in drawn.items()}


def sparkline(values: Sequence[float | None], label: str, unit: str) -> SafeString:
    """The shape of these values, which are spaced evenly; a gap breaks the line."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        line = f"M0 {HEIGHT - 1} L{WIDTH} {HEIGHT - 1}"
        return _picture(" k-off", f"{label}: not measured in the last hour", line, "")
    top, step = max(known) or 1, WIDTH / (len(values) - 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(f"{index * step:.1f} {HEIGHT - 1 - value / top * (HEIGHT - 2):.1f}")
    lines = [" L".join(run) for run in runs if run]
    areas = [f"M{run[0].split()[0]} {HEIGHT} L{' L'.join(run)} L{run[-1].split()[0]} {HEIGHT} Z" for run in runs if run]
    said = f"{label}: {told(known[-1], unit)}, at most {told(max(known), unit)} in the last hour"
    return _picture("", said, " ".join(f"M{line}" for line in lines), " ".join(areas))


def _picture(kind: str, said: str, line: str, area: str) -> SafeString:
    return format_html(
        '<svg class="k-spark{}" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>'
        '<path class="k-f" d="{}"/><path class="k-l" d="{}"/></svg>',
        kind,
        WIDTH,
        HEIGHT,
        said,
        said,
        area,
        line,
    )
