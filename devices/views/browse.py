"""The list of devices and what is decided about several at once."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from devices.choices import KeyState
from devices.lists import DEVICES
from devices.models import Device, DeviceKey
from devices.presentation import device_badge
from devices.querysets import DeviceQuerySet
from devices.services.bulk import DECISIONS, decide_many
from hub import bulk
from hub.pages import live
from hub.pages.forms import back_url
from hub.pages.lists import ListPage
from hub.pages.requests import me
from monitoring import sparklines

from . import command

ROW_FACTS = (
    "pk",
    "name",
    "status",
    "status_reason",
    "liveness",
    "beat__last_seen_at",
    "beat__health",
    "beat__bundle_version",
    "beat__agent_version",
    "device_type",
    "tags",
    "region__name",
)


@login_required
def device_list(request: HttpRequest) -> HttpResponse:
    """Devices one may see."""
    require(request.user, "devices.view")
    if "csv" in request.GET:
        return ListPage(request, DEVICES, _devices(request).prefetch_related("groups")).as_csv()
    page = ListPage(request, DEVICES, partial(_devices, request))
    is_fragment = live.is_fragment(request, "list")
    tag = live.etag(me(request).pk, page.shown, page.fingerprint(*ROW_FACTS)) if is_fragment else ""
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    context: dict[str, Any] = {"list": page, "may_decide": can(request.user, "devices.control")}
    if not is_fragment:
        context["tabs"] = page.tabs
    rows: Any = page.page.object_list
    devices = list(rows.prefetch_related("groups"))
    context["devices"] = [(device, device_badge(device)) for device in devices]
    if any(column.key == "history" for column in page.columns):
        context["shapes"] = sparklines.last_hour([device.subject for device in devices], "cpu_share")
    if is_fragment:
        return live.answer(request, "devices/partials/device_table.html", context, tag=tag)
    return live.private(render(request, "devices/device_list.html", context))


def _devices(request: HttpRequest) -> DeviceQuerySet:
    return Device.objects.visible_to(request.user).with_details()


@login_required
@require_POST
def device_bulk(request: HttpRequest) -> HttpResponse:
    """One decision for the ticked devices, with the result of each. What cannot be taken back wants a word typed."""
    require(request.user, "devices.control")
    verb, back = request.POST.get("verb", ""), back_url(request, "devices:device_list")
    devices = _ticked(request)
    if verb == "command" and devices:
        return command.ask_many(request, devices, back)
    if verb not in DECISIONS or not devices:
        messages.warning(request, "Tick some devices first.")
        return redirect(back)
    phrase = f"decommission {len(devices)}"
    if verb == "decommission" and request.POST.get("typed", "").strip() != phrase:
        question = {"devices": devices, "phrase": phrase, "typed": request.POST.get("typed"), "back": back}
        return live.private(render(request, "devices/device_bulk_confirm.html", question))
    seen = {device.pk: request.POST.get(f"fingerprint-{device.pk}", "") for device in devices}
    if verb == "accept" and any(device.proposed and not seen[device.pk] for device in devices):
        question = {"devices": devices, "back": back}
        return live.private(render(request, "devices/device_bulk_accept.html", question))
    results = decide_many([device.pk for device in devices], verb, actor=me(request), fingerprints=seen)
    done = sum(result.is_done for result in results)
    context = {"label": verb.capitalize(), "results": results, "done": done, "back": back}
    return live.private(render(request, "devices/device_bulk.html", context))


def _ticked(request: HttpRequest) -> list[Any]:
    """The ticked devices, each with the key that is proposed for it."""
    ids = []
    for text in request.POST.getlist("ids")[: bulk.MOST]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    keys = DeviceKey.objects.filter(device=OuterRef("pk"), state=KeyState.PROPOSED)
    rows = Device.objects.visible_to(request.user).annotate(proposed=Subquery(keys.values("fingerprint")[:1]))
    return list(rows.filter(pk__in=ids).order_by("name"))
