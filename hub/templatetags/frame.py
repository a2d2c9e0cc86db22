"""The frame around every page: its navigation."""

from __future__ import annotations

from typing import Any

from django import template

from hub.pages.navigation import entries

register = template.Library()


@register.inclusion_tag("components/navigation.html", takes_context=True)
def navigation(context: dict[str, Any]) -> dict[str, Any]:
    """The left navigation of the person who asks."""
    request = context["request"]
    return {"sections": entries(request), "request": request, "hub_version": context.get("hub_version", "")}
