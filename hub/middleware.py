"""The first and the last of our middlewares: who is asking, and what a refused request looks like."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from . import context, security
from .api.errors import foreseen
from .views import answer

access = logging.getLogger("hub.access")

GetResponse = Callable[[HttpRequest], HttpResponse]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
QUIET_PATHS = ("/health", "/metrics", "/static/")
SECRET_PATHS = re.compile(r"^(/invite/|/accounts/password/reset/key/|/accounts/confirm-email/).+")  # links of mails


class RequestContextMiddleware:
    """Give the request its id, address and door (web, api, admin), and write one access line when it is answered."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else context.new_request_id()
        ip = client_ip(request)
        facts = context.Context(request_id=request_id, ip=ip, via=door(request.path_info))
        with context.use(facts):
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            response._has_been_logged = True  # type: ignore[attr-defined]  # else Django adds a line without context
            _log_access(request, response.status_code, (time.perf_counter() - began) * 1000, ip)
        return response


class HubErrorMiddleware:
    """Turn a `HubError`, or a database that is away, into a page that says so (under /api/ into problem details)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        problem = foreseen(exception)
        return answer(request, problem) if problem else None


def door(path: str) -> str:
    """Through which face a request comes, for audit rows."""
    if path.startswith("/api/"):
        return "api"
    return "admin" if path.startswith("/admin/") else "web"


def client_ip(request: HttpRequest) -> str | None:
    """The asker's address: of the connection, or behind trusted proxies the last hop that is not one of them.

    Only the right end of X-Forwarded-For is believable: each trusted proxy appended the address it saw, everything left
    of the first untrusted hop may be invented. A connection over a unix socket has no address and is a proxy's own.
    """
    seen = _address(request.META.get("REMOTE_ADDR", ""))
    if seen is not None and not _is_trusted(seen):
        return str(seen)
    for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        address = _address(hop)
        if address is None:
            break
        seen = address
        if not _is_trusted(address):
            break
    return str(seen) if seen is not None else None


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.strip().split("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _log_access(request: HttpRequest, status: int, ms: float, ip: str | None) -> None:
    path = SECRET_PATHS.sub(r"\1…", request.path)
    security.note_answer(request, status, path)
    is_quiet = status < 400 and path.startswith(QUIET_PATHS)
    level = logging.WARNING if status >= 500 else logging.DEBUG if is_quiet else logging.INFO
    if access.isEnabledFor(level):
        facts = {"method": request.method, "path": path, "status": status, "ms": round(ms, 1), "ip": ip or ""}
        access.log(level, "%s %s %s %.1f ms", request.method, path, status, ms, extra=facts)
