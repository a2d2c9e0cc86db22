"""Answers that belong to no app: error pages, and the same errors as problem details under /api/."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from . import context
from .api.errors import Problem, problem_response
from .exceptions import HubError


def error_answer(request: HttpRequest, error: HubError) -> HttpResponse:
    """Say why a request was refused, in the form its door expects."""
    return answer(request, Problem.of(error))


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """A problem as JSON under /api/, as a fragment for htmx, as a page otherwise."""
    if request.path_info.startswith("/api/"):
        return problem_response(problem)
    template = "partials/error.html" if request.headers.get("HX-Request") == "true" else "error.html"
    facts = {"problem": problem, "request_id": context.current().request_id}
    response = render(request, template, facts, status=problem.status)
    if problem.retry_after:
        response["Retry-After"] = str(problem.retry_after)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, Problem(400, "bad_request", "The request could not be understood."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, Problem(403, "not_allowed", "You may not do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return answer(request, Problem(404, "not_found", "There is nothing at this address, or nothing that you may see."))


def server_error(request: HttpRequest) -> HttpResponse:
    """The last resort: renders without context processors, because one of them may be what failed."""
    problem = Problem(500, "internal_error", "Something went wrong on our side. It has been written to the log.")
    if request.path_info.startswith("/api/"):
        return problem_response(problem)
    facts = {"problem": problem, "request_id": context.current().request_id}
    return render(None, "error.html", facts, status=HTTPStatus.INTERNAL_SERVER_ERROR)  # type: ignore[arg-type]  # no request: no processors


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(request, Problem(403, "csrf_failed", "This form has expired. Reload the page and send it again."))
