"""Markdown, and the scores of the first teams over time as a drawing."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from challenges import markdown as made_of
from challenges.models import Event

register = template.Library()
WIDTH, HEIGHT, SERIES = 1000, 232, 8


@register.filter
def markdown(text: str) -> SafeString:
    """Safe HTML for a text."""
    return made_of.render(text)


@register.simple_tag
def score_chart(event: Event, history: list[dict[str, Any]]) -> SafeString:
    """Steps of the first teams from the start on; the numbers stand in the table below it."""
    drawn = [each for each in history[:SERIES] if each["steps"]]
    if not drawn:
        return SafeString("")
    begin = event.starts_at.timestamp()
    end = max(max(at.timestamp() for at, _ in each["steps"]) for each in drawn)
    length = max(end - begin, 1.0)
    most = max(max(total for _, total in each["steps"]) for each in drawn) or 1
    lines = []
    for number, each in enumerate(drawn, 1):
        points, before = [f"0,{HEIGHT}"], HEIGHT
        for at, total in each["steps"]:
            x = round((at.timestamp() - begin) / length * WIDTH)
            y = round(HEIGHT - max(total, 0) / most * HEIGHT)
            points += [f"{x},{before}", f"{x},{y}"]
            before = y
        points.append(f"{WIDTH},{before}")
        lines.append((f"k-s{number}", " ".join(points)))
    shapes = format_html_join("", '<polyline class="k-l {}" points="{}"/>', lines)
    names = format_html_join(
        "", '<span><i class="k-swatch k-s{}"></i>{}</span>', [(n, each["team"]) for n, each in enumerate(drawn, 1)]
    )
    return format_html(
        '<svg class="k-plot k-tall" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="Points of the first teams over time">{}</svg><div class="k-legend">{}</div>',
        WIDTH,
        HEIGHT,
        shapes,
        names,
    )
