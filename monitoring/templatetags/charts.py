"""Charts on pages: `{% charts subject_key %}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse

from hub.nodes.models import Node
from monitoring import ranges
from monitoring.charts import COMPARED, of_kind
from monitoring.presentation import told

register = template.Library()


@register.inclusion_tag("components/charts.html", takes_context=True)
def charts(context: dict[str, Any], subject: str | Sequence[str], all: bool = False) -> dict[str, Any]:
    """The charts of a subject, or of several to compare; the main ones unless `all`."""
    keys = [subject] if isinstance(subject, str) else list(subject)
    request = context["request"]
    shown = ranges.of(request)
    frames = [chart for chart in of_kind(keys[0].partition(":")[0]) if all or chart.is_main]
    pairs = [("subject", key) for key in keys]
    choices = []
    for name, (label, _) in ranges.CHOICES.items():
        query = request.GET.copy()
        for parameter in ("from", "to"):
            query.pop(parameter, None)
        query["range"] = name
        choices.append((label, f"?{query.urlencode()}", name == shown.name))
    metrics = [("metric", name) for frame in frames for name in frame.metrics]
    span = [("from", shown.start.isoformat()), ("to", shown.end.isoformat())]
    data = f"{reverse('api:metrics-query')}?{urlencode([*pairs, *metrics])}"
    return {
        "request": request,
        "frames": frames,
        "range": shown,
        "choices": choices,
        "kept": [(name, value) for name, value in request.GET.items() if name not in ("range", "from", "to")],
        "data_url": data,
        "csv_url": f"{data}&{urlencode([*span, ('points', 1000), ('format', 'csv')])}",
        "table_url": f"{reverse('monitoring:table')}?{urlencode(pairs)}&{shown.query}",
        "is_comparison": len(keys) > 1,
    }


@register.simple_tag(takes_context=True)
def node_keys(context: dict[str, Any]) -> list[str]:
    """The nodes that charts of the whole compare, among those that the person may see."""
    nodes = Node.objects.visible_to(context["request"].user).filter(is_enabled=True).order_by("name")
    return [f"node:{name}" for name in nodes.values_list("name", flat=True)[:COMPARED]]


@register.filter
def measured(value: float | None, unit: str) -> str:
    """A number with its unit."""
    return told(value, unit)
