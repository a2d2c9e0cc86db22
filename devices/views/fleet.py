"""The whole fleet at a glance."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.permissions import require
from devices.fleet import figures, open_deployments, recent_failures
from devices.outcomes import outcomes
from hub.pages import live
from hub.pages.requests import me


@login_required
def fleet_overview(request: HttpRequest) -> HttpResponse:
    """How many devices call, what they run, what goes out to them and what went wrong; refreshes by itself."""
    require(request.user, "devices.view")
    fleet, deployments = figures(request.user), open_deployments(request.user)
    failures = recent_failures(request.user)
    ended = outcomes(request.user)
    context = {"fleet": fleet, "deployments": deployments, "failures": failures, "ended": ended}
    if live.is_fragment(request, "devices-fleet"):
        shown = [
            fleet,
            ended,
            [(row.pk, row.status, row.done_count, row.failed_count) for row in deployments],
            [row.pk for row in failures],
        ]
        return live.answer(request, "devices/partials/fleet.html", context, tag=live.etag(me(request).pk, shown))
    return live.private(render(request, "devices/fleet.html", context))
