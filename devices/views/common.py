"""What the pages of devices share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from devices.models import Device
from devices.presentation import Head
from hub.pages import live

TABS = (
    ("detail", "Overview"),
    ("log", "Log"),
    ("config", "Configuration"),
    ("deployments", "Deployments"),
    ("commands", "Commands"),
    ("activity", "Activity"),
)


def find_device(request: HttpRequest, pk: UUID) -> Device:
    """A device that one may see, with all that the top of its page shows."""
    rows = Device.objects.visible_to(request.user).with_details().prefetch_related("groups", "keys")
    return get_object_or_404(rows, pk=pk)


def show(request: HttpRequest, device: Device, tab: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """One tab of a device's page."""
    tabs = [(key, label, reverse(f"devices:device_{key}", args=[device.pk])) for key, label in TABS]
    facts = {"device": device, "head": Head(device, request.user), "tab": tab, "tabs": tabs, **context}
    return live.private(render(request, f"devices/device_{tab}.html", facts, status=status))
