"""The frame around every page: its navigation."""

from __future__ import annotations

from typing import Any

from django import template
from django.conf import settings
from django.contrib import admin
from django.urls import reverse

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
