"""How templates of servers read on a page."""

from __future__ import annotations

from django import template

from hub.nodes.choices import EngineKind
from servers.models import Template

register = template.Library()


@register.filter
def engine_names(row: Template) -> str:
    """The engines that can run it, in words, without the one for tests."""
    shown = (kind for kind in EngineKind if kind in row.engines and kind != EngineKind.FAKE)
    return ", ".join(kind.label for kind in shown) or "no engine"
