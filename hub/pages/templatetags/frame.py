"""The frame around every page: its navigation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django import template
from django.conf import settings
from django.contrib import admin
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from hub.pages.navigation import attention, entries

register = template.Library()


@register.simple_tag(takes_context=True)
def navigation(context: dict[str, Any]) -> SafeString:
    """The left navigation of the person who asks; leaves what needs attention to the bell, as `request.attention`."""
    request = context["request"]
    sections = entries(request)
    request.attention = attention(sections)
    return _navigation(sections, getattr(request.user, "timezone", ""), context.get("hub_version", ""))


@lru_cache(maxsize=512)
def _navigation(sections: tuple[Any, ...], timezone: str, hub_version: str) -> SafeString:
    """Drawn once for all that it shows: it is the same on every page of a place until a count changes."""
    shown = {"sections": sections, "timezone": timezone, "hub_version": hub_version}
    return render_to_string("components/navigation.html", shown)


@register.simple_tag
def may_register() -> bool:
    """Whether strangers may make an account."""
    return bool(settings.HUB_REGISTRATION == "open")


@register.simple_tag
def sign_on_url() -> dict[str, str] | None:
    """Name and address of the single sign-on, where there is one."""
    if not settings.HUB_OIDC:
        return None
    address = reverse("openid_connect_login", args=[settings.HUB_OIDC["provider_id"]])
    return {"name": settings.HUB_OIDC["name"], "url": address}


@register.simple_tag(takes_context=True)
def admin_url(context: dict[str, Any], row: Any) -> str:
    """The admin's page of a row, "" for those who may not open it: `{% admin_url server as url %}`."""
    user = getattr(context.get("request"), "user", None)
    model_admin = admin.site._registry.get(type(row))
    if not getattr(user, "is_staff", False) or model_admin is None:
        return ""
    if not model_admin.has_view_permission(context["request"], row):
        return ""
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
