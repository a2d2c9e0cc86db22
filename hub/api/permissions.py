"""Permissions of API views and of pages without an app: who may is decided by the function that settings name.

The hub's plumbing must not import the accounts app, so `HUB_CAN` is the dotted path of `can(actor, verb, obj=None)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from hub.exceptions import NotAllowed


class Can(Protocol):
    """May this actor use the verb, at all or on this object?"""

    def __call__(self, actor: Any, verb: str, obj: Any = None) -> bool: ...


def can(actor: Any, verb: str, obj: Any = None) -> bool:
    """Ask the function that decides."""
    decide: Can = import_string(settings.HUB_CAN)
    return decide(actor, verb, obj)


class IsAllowed(BasePermission):
    """Ask for the verb that the view's `verbs` name for its action (`"*"` for the others); without one nobody may."""

    message = "You are not allowed to do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return self._asks_nothing(view) or can(request.user, self._verb(view))

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return self._asks_nothing(view) or can(request.user, self._verb(view), obj)

    @staticmethod
    def _asks_nothing(view: APIView) -> bool:
        return getattr(view, "action", None) in (None, "metadata")  # no such method: DRF answers 405, or OPTIONS

    @staticmethod
    def _verb(view: APIView) -> str:
        verbs: dict[str, str] = getattr(view, "verbs", {})
        action = getattr(view, "action", "")
        verb = verbs.get(action) or verbs.get("*")
        if verb is None:
            raise ImproperlyConfigured(f"{type(view).__name__}.verbs names no verb for {action}.")
        return verb


Page = Callable[..., HttpResponse]


def page_needs(verb: str) -> Callable[[Page], Page]:
    """Decorate a page of somebody else's app: sign in first, and hold the verb."""

    def wrap(view: Page) -> Page:
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not can(request.user, verb):
                raise NotAllowed("You are not allowed to see this.")
            return view(request, *args, **kwargs)

        return guarded

    return wrap
