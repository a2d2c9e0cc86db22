"""What devices and groups are to be set to: the editor, the history with its differences, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from devices.configuration import services
from devices.configuration.forms import ConfigForm
from devices.configuration.models import ConfigRevision, GroupConfig
from devices.configuration.schema import SCHEMA, difference
from devices.limits import reaches_all
from devices.models import Device
from devices.presentation import Head, config_badge, settings_of
from hub.exceptions import HubError
from hub.pages import live
from hub.pages.requests import me

from .common import find_device, show
from .groups import find_group

LATEST = 50


@login_required
def device_config(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What it is to be set to and from where each value comes; its own values are edited here."""
    device = find_device(request, pk)
    config = services.config_of(device)
    form = ConfigForm(request.POST or None, initial=ConfigForm.initial_of(config))
    if request.method == "POST":
        require(request.user, "devices.change", device)
        if _save(request, form, services.set_device_config, device):
            return redirect("devices:device_config", pk=device.pk)
    context = {
        "config": config,
        "rows": settings_of(device, config),
        "drift": config_badge(config, device.beat.config_version),
        "may_edit": Head(device, request.user).may_change,
        **_shared(form, device),
    }
    return show(request, device, "config", context, status=422 if form.errors else 200)


@login_required
@require_POST
def device_config_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The values of an earlier version, as a new one."""
    device: Device = find_device(request, pk)
    require(request.user, "devices.change", device)
    _go_back(request, services.rollback_device_config, device)
    return redirect("devices:device_config", pk=device.pk)


@login_required
def group_config(request: HttpRequest, slug: str) -> HttpResponse:
    """What the devices of a group inherit."""
    group = find_group(request, slug)
    config = GroupConfig.objects.filter(group=group).first() or GroupConfig(group=group)
    form = ConfigForm(request.POST or None, initial=ConfigForm.initial_of(config))
    if request.method == "POST":
        require(request.user, "devices.change")
        if _save(request, form, services.set_group_config, group):
            return redirect("devices:group_config", slug=group.slug)
    context = {
        "group": group,
        "config": config,
        "may_edit": can(request.user, "devices.change") and reaches_all(request.user, group.devices.all()),
        **_shared(form, group),
    }
    return live.private(render(request, "devices/group_config.html", context, status=422 if form.errors else 200))


@login_required
@require_POST
def group_config_back(request: HttpRequest, slug: str) -> HttpResponse:
    """The values of an earlier version, as a new one."""
    group = find_group(request, slug)
    require(request.user, "devices.change")
    _go_back(request, services.rollback_group_config, group)
    return redirect("devices:group_config", slug=group.slug)


def _save(request: HttpRequest, form: ConfigForm, service: Callable[..., Any], row: Any) -> bool:
    if not form.is_valid():
        return False
    try:
        config = service(row, actor=me(request), **form.cleaned_data)
    except HubError as error:
        form.refuse(error)
        return False
    messages.success(request, f"Version {config.version} is what it is to be set to.")
    return True


def _go_back(request: HttpRequest, service: Callable[..., Any], row: Any) -> None:
    version, expected = (request.POST.get(name, "") for name in ("version", "expected_version"))
    try:
        config = service(row, _number(version) or 0, actor=me(request), expected_version=_number(expected))
    except HubError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"The values of version {version} are back, as version {config.version}.")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _shared(form: ConfigForm, row: Any) -> dict[str, Any]:
    found = services.history_of(row, LATEST + 1)
    return {"form": form, "history": list(_with_changes(found))[:LATEST], "bounds": bounds()}


def _with_changes(found: list[ConfigRevision]) -> Iterable[tuple[ConfigRevision, list[dict[str, Any]]]]:
    """Each version with what it changed in the own values, against the one before."""
    for at, revision in enumerate(found):
        before = found[at + 1].values if at + 1 < len(found) else {}
        yield revision, difference(before, revision.values)


def bounds() -> list[tuple[str, str]]:
    """What may be set, in words, from the schema."""
    lines = []
    for name, rule in SCHEMA["properties"].items():
        if "enum" in rule:
            said = ", ".join(rule["enum"])
        elif "minimum" in rule:
            said = f"{rule['minimum']} to {rule['maximum']}"
        else:
            said = "an object of your own"
        lines.append((name, said))
    return lines
