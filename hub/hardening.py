"""What the hub refuses before any view is asked: bodies that are too long, the admin site, the API's documentation."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from . import context
from .api.errors import Problem
from .views import answer

PERMISSIONS_POLICY = "camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()"
ADMIN = "/admin/"
DOCUMENTS = ("/api/v1/docs", "/api/v1/schema")
TOO_LARGE = Problem(413, "too_large", "The body is too large.")


@dataclass(frozen=True)
class LargeBody:
    """A route that takes longer forms with a file than others: how many bytes, and from whom."""

    path: re.Pattern[str]
    most: Callable[[], int]
    is_allowed: Callable[[Any], bool]


_large: list[LargeBody] = []


def take_large(path: str, most: Callable[[], int], is_allowed: Callable[[Any], bool]) -> None:
    """Let a route, by an expression for its whole path, take forms of up to so many bytes from these people.

    Only forms, whose files go to the disk: any other body would be read into memory.
    """
    _large.append(LargeBody(re.compile(path), most, is_allowed))


class HardeningMiddleware:
    """Sets the Permissions-Policy; refuses bodies by their length, unread, whatever they hold and whoever sends them.

    Hides the admin site from other networks and the documentation from strangers.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = answer(request, TOO_LARGE) if _is_too_large(request) else self.get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    def process_view(
        self, request: HttpRequest, view: object, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> HttpResponse | None:
        path = request.path_info
        if path.startswith(ADMIN) and not _may_reach_admin(context.current().ip):
            raise Http404
        if path in DOCUMENTS and settings.HUB_API_DOCS == "people" and not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return None


class PolicyMiddleware(CSPMiddleware):
    """django-csp's, which composes the policy twice for every answer; ours has no nonces and is made once.

    An answer for which a view has changed the policy goes the long way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        super().__init__(get_response)
        self.policy = build_policy()

    def process_request(self, request: HttpRequest) -> None:
        """No nonce is handed out."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if settings.DEBUG or HEADER in response.headers or any(name.startswith("_csp") for name in vars(response)):
            return super().process_response(request, response)
        response.headers[HEADER] = self.policy
        return response


def _is_too_large(request: HttpRequest) -> bool:
    """Whether more is announced than any page or route takes; Django reads no more of a body than was announced."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return False
    if request.content_type != "multipart/form-data":
        return True
    fits = [each for each in _large if each.path.fullmatch(request.path_info) and int(length) <= each.most()]
    return not fits or not any(each.is_allowed(_asker(request)) for each in fits)


def _asker(request: HttpRequest) -> Any:
    """Who asks, also with a token; the check of a session by the API would read the body."""
    if "Authorization" not in request.headers or not request.path_info.startswith("/api/"):
        return request.user
    ways = [way for way in APIView().get_authenticators() if not isinstance(way, SessionAuthentication)]
    try:
        return Request(request, authenticators=ways).user
    except APIException:
        return AnonymousUser()


def _may_reach_admin(ip: str | None) -> bool:
    """Whether the address is in a network of the admins; an unknown one is in none."""
    networks = settings.HUB_ADMIN_NETWORKS
    if not networks:
        return True
    return ip is not None and any(ipaddress.ip_address(ip) in network for network in networks)
