"""Commands by hand: on a device's page, and for the devices that are ticked in the list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from devices.manual import services
from devices.manual.forms import CommandForm
from devices.manual.lists import COMMANDS
from devices.manual.models import ManualCommand
from devices.models import Device
from hub.exceptions import Conflict
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me, tell

from .common import find_device, show


@login_required
def device_commands(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What it was told by hand and what came of it, and a form for more."""
    device = find_device(request, pk)
    page = ListPage(request, COMMANDS, device.manual_commands.all())
    if "csv" in request.GET:
        return page.as_csv()
    context: dict[str, Any] = {"device": device, "list": page}
    if live.is_fragment(request, "list"):
        tag = live.etag(device.pk, me(request).pk, page.shown, page.fingerprint("pk", "status", "offers"))
        context["may_decide"] = _may(request, device)
        return live.answer(request, "devices/partials/device_commands.html", context, tag=tag)
    if request.method == "POST":
        require(request.user, "devices.control", device)
    form = CommandForm(request.POST or None, names=sorted(services.commands_of(device)))
    if request.method == "POST" and form.is_valid():
        sent = page_forms.call(form, services.send_command, device, actor=me(request), **form.values())
        if sent:
            here = reverse("devices:device_commands", args=[device.pk])
            tell(request, f"{device.name} is told when it calls next.", here)
            return redirect(here)
    context |= {"form": form, "may_decide": _may(request, device)}
    return show(request, device, "commands", context, status=422 if form.errors else 200)


@login_required
@require_POST
def device_command_cancel(request: HttpRequest, pk: UUID, command: UUID) -> HttpResponse:
    """Take it back; too late is said."""
    device = find_device(request, pk)
    row = get_object_or_404(ManualCommand.objects.select_related("device__region"), pk=command, device=device)
    here = reverse("devices:device_commands", args=[device.pk])
    try:
        services.cancel_command(row, actor=me(request))
        tell(request, f"{row.name} is taken back.", here)
    except Conflict as error:
        messages.error(request, error.message)
    return redirect(here)


def ask_many(request: HttpRequest, devices: list[Device], back: str) -> HttpResponse:
    """Ask what the ticked devices shall do, then tell them, with the result of each."""
    is_answer = "name" in request.POST
    form = CommandForm(request.POST if is_answer else None)
    if is_answer and form.is_valid():
        keys = [device.pk for device in devices]
        results = services.send_many(keys, actor=me(request), **form.values())
        done = sum(result.is_done for result in results)
        context = {"label": f"Command {form.cleaned_data['name']}", "results": results, "done": done, "back": back}
        return live.private(render(request, "devices/device_bulk.html", {**context, "is_command": True}))
    context = {"form": form, "devices": devices, "back": back, "url": reverse("devices:device_bulk")}
    status = 422 if form.errors else 200
    return live.private(render(request, "devices/device_bulk_command.html", context, status=status))


def _may(request: HttpRequest, device: Device) -> bool:
    return can(request.user, "devices.control", device)
