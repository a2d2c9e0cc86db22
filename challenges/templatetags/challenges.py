"""Markdown, who sees the answers of an event, and the scores of the first teams over time as a drawing."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.permissions import can
from challenges import markdown as made_of
from challenges.models import Event

register = template.Library()
WIDTH, HEIGHT, SERIES = 1000, 232, 8
ROWS, COLUMNS = 4, 4
A_DAY = 86_400


@register.filter
def markdown(text: str) -> SafeString:
    """Safe HTML for a text."""
    return made_of.render(text)


@register.filter
def watches(user: Any, event: Event) -> bool:
    """Whether the person looks after the event; costs players no query."""
    return can(user, "events.view_any") and Event.objects.watched_by(user).filter(pk=event.pk).exists()


@register.simple_tag
def score_chart(event: Event, history: list[dict[str, Any]], own: str = "") -> SafeString:
    """Steps of the first teams from the start on, one's own team the thickest; its numbers stand in the table below."""
    drawn = [each for each in history[:SERIES] if each["steps"]]
    if not drawn:
        return SafeString("")
    begin = event.starts_at.timestamp()
    end = max(max(at.timestamp() for at, _ in each["steps"]) for each in drawn)
    length = max(end - begin, 1.0)
    top = _above(max(max(total for _, total in each["steps"]) for each in drawn))
    lines = []
    for number, each in enumerate(drawn, 1):
        points, before = [f"0,{HEIGHT}"], HEIGHT
        for at, total in each["steps"]:
            x = round((at.timestamp() - begin) / length * WIDTH)
            y = round(HEIGHT - max(total, 0) / top * HEIGHT)
            points += [f"{x},{before}", f"{x},{y}"]
            before = y
        points.append(f"{WIDTH},{before}")
        lines.append((f"k-s{number}{' k-me' if each['team'] == own else ''}", " ".join(points)))
    heights = [(WIDTH, round(HEIGHT * row / ROWS)) for row in range(ROWS)]
    grid = format_html_join("", '<path class="k-grid-l" d="M0 {1} H{0}"/>', heights)
    shapes = format_html_join("", '<polyline class="k-l {}" points="{}"/>', lines)
    names = format_html_join(
        "", '<span><i class="k-swatch k-s{}"></i>{}</span>', [(n, each["team"]) for n, each in enumerate(drawn, 1)]
    )
    return format_html(
        '<div class="k-axes"><div class="k-axis-y">{}</div>'
        '<svg class="k-plot k-tall" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="Points of the first teams over time">{}{}</svg><div class="k-axis-x">{}</div></div>'
        '<div class="k-legend">{}</div>',
        format_html_join("", "<span>{}</span>", [(f"{top * row // ROWS:,}",) for row in range(ROWS, -1, -1)]),
        WIDTH,
        HEIGHT,
        grid,
        shapes,
        format_html_join(
            "", "<span>{}</span>", [(_time(begin + length * n / COLUMNS, length),) for n in range(COLUMNS + 1)]
        ),
        names,
    )


def _above(most: int) -> int:
    """The top of a scale of round numbers."""
    steps = (factor * 10**power for power in count() for factor in (1, 2, 5))
    return next(step for step in steps if step * ROWS >= most) * ROWS


def _time(at: float, length: float) -> str:
    local = datetime.fromtimestamp(at, timezone.get_current_timezone())
    return f"{local:%-d %b %H:%M}" if length > A_DAY else f"{local:%H:%M}"
