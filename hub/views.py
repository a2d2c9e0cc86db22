"""Pages that belong to no app: errors (as problem details under /api/), health and metrics."""

from __future__ import annotations

import ipaddress
import secrets
import sys

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from . import context, health, metering
from .api.errors import DATABASE_AWAY, Problem, problem_response
from .exceptions import NotAllowed


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A problem as JSON under /api/, as a fragment for htmx, as a page otherwise.

    When the fault is ours, the page does without the request: what failed may be what a page needs, such as the user.
    """
    if request.path_info.startswith("/api/"):
        return problem_response(problem)
    template = "partials/error.html" if request.headers.get("HX-Request") == "true" else "error.html"
    facts = {"problem": problem, "request_id": context.current().request_id}
    page = render_to_string(template, facts, request=request if problem.status < 500 else None)
    return HttpResponse(page, status=problem.status, headers=problem.headers())


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, Problem(400, "bad_request", "The request could not be understood."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, Problem(403, "not_allowed", "You may not do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    detail = "There is nothing at this address, or nothing that you may see."
    if request.path_info.startswith("/api/") and request.path_info.endswith("/"):
        detail = "There is nothing at this address. Addresses of the API have no slash at the end."
    return answer(request, Problem(404, "not_found", detail))


def server_error(request: HttpRequest) -> HttpResponse:
    """What nobody foresaw, and a database that went away outside the views."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return answer(request, DATABASE_AWAY)
    detail = "Something went wrong on our side. It has been written to the log."
    return answer(request, Problem(500, "internal_error", detail))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(request, Problem(403, "csrf_failed", "This form has expired. Reload the page and send it again."))


@never_cache
@require_safe
def health_summary(request: HttpRequest) -> HttpResponse:
    """200 or 503 with every check; what each found is shown only to those who may read the metrics."""
    found = health.report()
    return JsonResponse(found.as_dict(details=_is_monitor(request)), status=found.status)


@never_cache
@require_safe
def health_live(request: HttpRequest) -> HttpResponse:
    """This process answers. Asks nobody else, so that a dead database does not get it restarted."""
    return JsonResponse({"status": health.OK})


@never_cache
@require_safe
def health_ready(request: HttpRequest) -> HttpResponse:
    """May get traffic: the database answers and has all migrations. Redis is not asked, the hub serves without it."""
    found = health.report(health.READY)
    return JsonResponse(found.as_dict(details=_is_monitor(request)), status=found.status)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, for those who know the token, for allowed networks and for this machine."""
    if not _is_monitor(request):
        raise NotAllowed("Metrics are for this machine, or with the token of HUB_METRICS_TOKEN.", code="metrics_token")
    return HttpResponse(metering.exposition(), content_type=CONTENT_TYPE_LATEST)


def _is_monitor(request: HttpRequest) -> bool:
    """Whether a monitoring system asks: by token, from an allowed network, or from loopback without a proxy between."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer" and settings.HUB_METRICS_TOKEN:
        return secrets.compare_digest(given.encode(), settings.HUB_METRICS_TOKEN.encode())
    asker = context.current().ip
    if asker and any(ipaddress.ip_address(asker) in network for network in settings.HUB_METRICS_ALLOWED):
        return True
    is_forwarded = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"))
    return request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1") and not is_forwarded
