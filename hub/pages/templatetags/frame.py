"""The frame around every page: its navigation."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings

from hub.pages.navigation import entries

register = template.Library()


@register.inclusion_tag("components/navigation.html", takes_context=True)
def navigation(context: dict[str, Any]) -> dict[str, Any]:
    """The left navigation of the person who asks."""
    request = context["request"]
    return {"sections": entries(request), "request": request, "hub_version": context.get("hub_version", "")}


@register.simple_tag
def may_register() -> bool:
    """Whether strangers may make an account."""
    return bool(settings.HUB_REGISTRATION == "open")
