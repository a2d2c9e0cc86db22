"""Log lines of all devices that one may see."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.permissions import require
from devices.lists import LOGS
from devices.models import DeviceLog
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me


@login_required
def log_list(request: HttpRequest) -> HttpResponse:
    """Newest first, by level and text; the table follows by itself."""
    require(request.user, "devices.view")
    page = ListPage(request, LOGS, DeviceLog.objects.visible_to(request.user).select_related("device"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page}
    if live.is_fragment(request, "list"):
        tag = live.etag(me(request).pk, page.shown, page.fingerprint("pk"))
        return live.answer(request, "devices/partials/log_table.html", context, tag=tag)
    return live.private(render(request, "devices/log_list.html", context))
