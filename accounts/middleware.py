"""Puts the logged-in person on the request's context, and shows a suspended one why, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from hub import context


class ActorMiddleware:
    """Resolve the session's user once. The API authenticates by itself and is left alone here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if _has_session(request) and request.user.is_authenticated:
            context.amend(user=request.user.username)
            if request.user.is_suspended and request.path_info != reverse("account_logout"):
                return render(request, "account/suspended.html", status=403)
        return self.get_response(request)


class SecondFactorMiddleware:
    """Lead who must have a second factor and has none to the page that sets one up; the API checks by itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.HUB_MFA_ROLES and _has_session(request) and request.user.is_authenticated:
            from . import second_factor

            is_open = request.path_info.startswith(second_factor.OPEN_PATHS)
            if not is_open and second_factor.is_missing(request.user):
                messages.warning(request, "Your role asks for a second factor. Set one up first.")
                return redirect("mfa_index")
        return self.get_response(request)


def _has_session(request: HttpRequest) -> bool:
    """Whether there may be a user at all: health checks and API tokens carry no session cookie and cost no query."""
    return request.session.session_key is not None and not request.path_info.startswith("/api/")
