"""`{% load permissions %}{% if user|can:"servers.create" %}`: hides what would be refused, decides nothing."""

from __future__ import annotations

from typing import Any

from django import template

from accounts.permissions import can as may

register = template.Library()


@register.filter
def can(actor: Any, verb: str) -> bool:
    """Whether the actor may use the verb at all."""
    return may(actor, verb)


@register.simple_tag
def can_on(actor: Any, verb: str, obj: Any) -> bool:
    """Whether he may on this object: `{% can_on user "servers.control" server as may_control %}`."""
    return may(actor, verb, obj)
