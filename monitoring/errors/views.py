"""Pages of unhandled errors."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from hub.pages.lists import ListPage

from . import lists, services
from .models import ErrorGroup

SHOWN = 20


@login_required
def error_list(request: HttpRequest) -> HttpResponse:
    """Errors that nobody foresaw, the latest first."""
    require(request.user, "errors.view")
    page = ListPage(request, lists.ERRORS, ErrorGroup.objects.visible_to(request.user))
    return page.as_csv() if "csv" in request.GET else render(request, "monitoring/error_list.html", {"list": page})


@login_required
def error_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Where it came about, and the latest requests and jobs that ended so."""
    error = get_object_or_404(ErrorGroup.objects.visible_to(request.user).select_related("resolved_by"), pk=pk)
    context = {
        "error": error,
        "reports": error.reports.all()[:SHOWN],
        "may_resolve": error.resolved_at is None and can(request.user, "errors.change"),
    }
    return render(request, "monitoring/error_detail.html", context)


@login_required
@require_POST
def error_resolve(request: HttpRequest, pk: int) -> HttpResponse:
    """It is dealt with."""
    error = get_object_or_404(ErrorGroup.objects.visible_to(request.user), pk=pk)
    services.resolve_error(error, actor=request.user)
    messages.success(request, "Marked as resolved. It opens again when it comes about again.")
    return redirect(error)
