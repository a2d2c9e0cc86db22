"""Places, totals and searches of devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Count as CountOf
from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.pages import overview, palette
from hub.pages.navigation import Count, Place, register
from hub.pages.overview import Contribution, Total
from hub.pages.states import badge
from hub.statements import statement, totals

from .bundles.lists import find_bundle
from .deployments.lists import find_deployment
from .fleet import figures, waiting
from .lists import find, find_group
from .models import Bundle, Deployment, Device, DeviceGroup
from .presentation import device_badge


def _sees(user: Any) -> bool:
    return can(user, "devices.view")


def _changes(user: Any) -> bool:
    return can(user, "devices.change")


def _sees_deployments(user: Any) -> bool:
    return can(user, "deployments.view")


def _to_decide(user: Any) -> Count:
    counted = statement(("devices to decide", user.reach), lambda: totals(waiting(user), number=CountOf("pk")))
    return Count(counted.rows()[0][0] if counted.sql else 0, "warn")


register(
    Place("Devices", "Fleet", "devices:fleet", "chart", _sees, position=10),
    Place("Devices", "Devices", "devices:device_list", "chip", _sees, position=20),
    Place("Devices", "Groups", "devices:group_list", "list", _sees, position=30),
    Place("Devices", "Deployments", "devices:deployment_list", "deploy", _sees_deployments, position=40),
    Place("Devices", "Bundles", "devices:bundle_list", "box", lambda user: can(user, "bundles.view"), position=50),
    Place("Devices", "Device logs", "devices:log_list", "terminal", _sees, position=55),
    Place("Devices", "Enrolment", "devices:enrolment", "inbox", _sees, _to_decide, position=60),
    Place("Devices", "Enrolment tokens", "devices:token_list", "key", _changes, position=70),
)


def _overview(request: HttpRequest) -> Contribution:
    user: Any = request.user
    if not _sees(user):
        return Contribution()
    fleet = figures(user)
    counts = {"overdue": fleet.overdue, "offline": fleet.offline, "pending": fleet.pending}
    badges = [
        badge(kind, key, word=f"{counts[key]} {key}")
        for kind, key in (("liveness", "overdue"), ("liveness", "offline"), ("device", "pending"))
        if counts[key]
    ]
    url = reverse("devices:device_list")
    return Contribution([Total("Devices", "chip", str(fleet.online), f"of {fleet.accepted} online", url, badges)])


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    """Devices, and for the best one its pages."""
    rows = find(Device.objects.visible_to(user).present().with_details(), text)
    found = list(rows[: palette.PER_GROUP])
    for device in found:
        note = f"Device, {device_badge(device).word.lower()}"
        yield palette.Hit(device.name, device.get_absolute_url(), "chip", note, str(device.pk))
    for group in find_group(DeviceGroup.objects.visible_to(user), text)[: palette.PER_GROUP]:
        yield palette.Hit(group.name, group.get_absolute_url(), "list", "Group of devices", group.slug)
    for bundle in find_bundle(Bundle.objects.visible_to(user).defer("content_key"), text)[: palette.PER_GROUP]:
        yield palette.Hit(str(bundle), bundle.get_absolute_url(), "box", "Bundle", bundle.sha256)
    deployments = Deployment.objects.visible_to(user).select_related("bundle").order_by("-created_at")
    for deployment in find_deployment(deployments, text)[: palette.PER_GROUP]:
        yield palette.Hit(str(deployment), deployment.get_absolute_url(), "deploy", f"Deployment, {deployment.status}")
    for device in found[:1]:
        for label, page, icon in (("Log", "log", "terminal"), ("Configuration", "config", "sliders")):
            url = reverse(f"devices:device_{page}", args=[device.pk])
            yield palette.Hit(f"{label} of {device.name}", url, icon, is_action=True)


overview.contribute(30, _overview)
palette.register(_find)
palette.offer(
    palette.Way(
        "New deployment",
        "devices:deployment_create",
        "plus",
        lambda user: can(user, "deployments.change"),
        words="deploy bundle roll out",
        is_action=True,
    ),
    palette.Way(
        "Upload a bundle",
        "devices:bundle_upload",
        "deploy",
        lambda user: can(user, "bundles.change"),
        words="new add",
        is_action=True,
    ),
    palette.Way(
        "Enter a device before it calls",
        "devices:device_preauthorise",
        "plus",
        lambda user: can(user, "devices.change"),
        words="new add preauthorise public key",
        is_action=True,
    ),
    palette.Way(
        "Publishers",
        "devices:publisher_list",
        "key",
        lambda user: can(user, "bundles.view"),
        words="publisher keys signatures signed",
        note="Devices",
    ),
)
