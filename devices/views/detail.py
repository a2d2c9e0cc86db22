"""One device: how it is, its log, what it is set to, what was deployed to it, and what happened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.permissions import require
from devices import services
from devices.bundles.models import Bundle
from devices.deployments import suits
from devices.deployments.lists import DEVICE_TARGETS
from devices.deployments.models import DeploymentTarget
from devices.forms import DeviceForm
from devices.lists import LOGS_OF_ONE
from devices.models import Device, DeviceLog
from devices.presentation import Head, history
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

from .common import find_device, show

LATEST = 8
ALL = 100
BUNDLES = 200


@login_required
def device_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What it is, whether it is well, what it runs and what happened to it."""
    device = find_device(request, pk)
    if live.is_fragment(request, "device-body"):
        context = {"device": device, **_body(device)}
        beat = device.beat
        said = (beat.last_seen_at, beat.health, beat.agent_version, beat.bundle_version, beat.memory_mb)
        tag = live.etag(device.pk, said, beat.cpu_percent, context["moments"])
        return live.answer(request, "devices/partials/device_body.html", context, tag=tag)
    return show(request, device, "detail", _body(device))


@login_required
def device_head(request: HttpRequest, pk: UUID) -> HttpResponse:
    """State and buttons, asked for again and again."""
    device = find_device(request, pk)
    head = Head(device, request.user)
    context = {"device": device, "head": head}
    return live.answer(request, "devices/partials/device_head.html", context, tag=live.etag(device.pk, head.facts))


@login_required
def device_log(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Its log lines, newest first; the table follows by itself."""
    device = find_device(request, pk)
    page = ListPage(request, LOGS_OF_ONE, DeviceLog.objects.filter(device=device))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"device": device, "list": page}
    if live.is_fragment(request, "list"):
        tag = live.etag(me(request).pk, page.shown, page.fingerprint("pk"))
        return live.answer(request, "devices/partials/log_table.html", context, tag=tag)
    return show(request, device, "log", context)


@login_required
def device_deployments(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What was deployed to it, newest first, and why a bundle is not there."""
    device = find_device(request, pk)
    rows = DeploymentTarget.objects.visible_to(request.user).filter(device=device)
    page = ListPage(request, DEVICE_TARGETS, rows.select_related("bundle", "deployment"))
    if "csv" in request.GET:
        return page.as_csv()
    context: dict[str, Any] = {"device": device, "list": page}
    if live.is_fragment(request, "list"):
        moving = page.fingerprint("pk", "status", "attempt", "progress_percent")
        tag = live.etag(device.pk, me(request).pk, page.shown, moving)
        return live.answer(request, "devices/partials/device_targets.html", context, tag=tag)
    bundles = list(
        Bundle.objects.visible_to(request.user).only("name", "version").order_by("name", "-created_at")[:BUNDLES]
    )
    asked = next((bundle for bundle in bundles if str(bundle.pk) == request.GET.get("bundle")), None)
    if asked:
        bundle = Bundle.objects.defer("content_key").get(pk=asked.pk)
        context |= {"asked": bundle, "reasons": suits.why_not(device, bundle)}
    return show(request, device, "deployments", {**context, "bundles": bundles})


@login_required
def device_activity(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Who did what with it, and how its deployments moved."""
    device = find_device(request, pk)
    return show(request, device, "activity", {"moments": history(device, ALL)})


@login_required
def device_update(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Change what people say of it."""
    device = find_device(request, pk)
    require(request.user, "devices.change", device)
    form = DeviceForm(request.POST or None, initial=DeviceForm.initial_of(device))
    if request.method == "POST" and form.is_valid():
        saved = page_forms.call(form, services.update_device, device, actor=me(request), **form.changes())
        if saved:
            messages.success(request, "Saved.")
            return redirect(device.get_absolute_url())
    context = {"device": device, "form": form}
    return live.private(render(request, "devices/device_form.html", context, status=422 if form.errors else 200))


def _body(device: Device) -> dict[str, Any]:
    return {"moments": history(device, LATEST)}
