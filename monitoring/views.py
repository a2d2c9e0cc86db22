"""The fleet at a glance, charts of several subjects, and the same as a table."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts.permissions import require
from hub import retention
from hub.exceptions import NotFound
from hub.pages import live

from . import charts, dashboard, presentation, ranges, subjects

TABLE_POINTS = 60


@login_required
def fleet(request: HttpRequest) -> HttpResponse:
    """Totals, what is unhealthy, the top consumers, pools, jobs, agents, recent audit and alerts; refreshes itself."""
    require(request.user, "nodes.view")
    context = dashboard.collect(request)
    if live.is_fragment(request, "fleet"):
        return live.answer(request, "monitoring/partials/fleet.html", context, tag=live.etag(request.user.pk, context))
    return live.private(render(request, "monitoring/fleet.html", context))


@login_required
def compare(request: HttpRequest) -> HttpResponse:
    """The charts of several subjects in the same frames: `?subject=…&subject=…`."""
    found = _subjects(request)
    context = {"subjects": found, "keys": [subject.key for subject in found]}
    return live.private(render(request, "monitoring/compare.html", context))


@login_required
def table(request: HttpRequest) -> HttpResponse:
    """What the charts show, as a table: for screen readers, and where there are no scripts."""
    found = _subjects(request)
    shown = ranges.of(request)
    metrics = [name for chart in charts.of_kind(found[0].kind) for name in chart.metrics]
    answer = presentation.ask(
        request.user,
        [subject.key for subject in found],
        metrics,
        start=shown.start,
        end=shown.end,
        points=TABLE_POINTS,
    )
    context = {"subjects": found, "range": shown, **presentation.as_table(answer)}
    return live.private(render(request, "monitoring/table.html", context))


@login_required
def kept(request: HttpRequest) -> HttpResponse:
    """What is kept for how long, what would go now, and what went."""
    require(request.user, "settings.view")
    last = retention.last_runs()
    rows = [{"rule": rule, "preview": rule.preview(), "last": last.get(rule.name)} for rule in retention.rules()]
    return live.private(render(request, "monitoring/retention.html", {"rows": rows}))


def _subjects(request: HttpRequest) -> list[subjects.Subject]:
    keys = list(dict.fromkeys(request.GET.getlist("subject")))[: charts.COMPARED]
    found = subjects.visible(request.user, keys)
    if not keys or len(found) < len(keys):
        raise NotFound("There is nothing measured by this name, or nothing that you may see.")
    return [found[key] for key in keys]
