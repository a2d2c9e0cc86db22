"""How often the API may be asked: so many requests a minute, counted in Redis with one atomic increment each.

Who is not logged in is counted by address, who is by account, whatever token or session he uses, and an API token by
itself too. An asker that is no account, such as a device, names its class in `rate_class`. A view that takes files
names the actions that begin one: `rate_classes = {"create": "upload"}`. Every answer says where the asker stands in the
class that is nearest to its end. While Redis is away each process counts for itself (`hub.cache`).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from hub import context

WINDOW_SECONDS = 60
IPV6_PREFIX = 64  # what one household has; single addresses cost nothing


@dataclass(frozen=True)
class Rate:
    """Where one asker stands in the present minute."""

    limit: int
    count: int
    reset: int

    @property
    def is_over(self) -> bool:
        return self.count > self.limit

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.limit - self.count)),
            "RateLimit-Reset": str(self.reset),
        }


def count(kind: str, who: str) -> Rate | None:
    """Count one request; None where there is no limit."""
    limit = settings.HUB_API_RATES.get(kind)
    if not limit:
        return None
    window, passed = divmod(int(time.time()), WINDOW_SECONDS)
    number = cache.count(f"rate:{kind}:{who}:{window}", seconds=2 * WINDOW_SECONDS)  # type: ignore[attr-defined]  # ours
    return Rate(limit, number, WINDOW_SECONDS - passed)


class RateLimit(BaseThrottle):
    """Counts the request in every class that it belongs to."""

    rate: Rate | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        ip = context.current().ip or ""
        if not is_unlimited(ip):
            rates = [rate for kind, who in _askers(request, view, ip) if (rate := count(kind, who))]
            self.rate = min(rates, key=lambda rate: rate.limit - rate.count, default=None)
        request.rate = self.rate  # type: ignore[attr-defined]  # for the headers of the answer
        return self.rate is None or not self.rate.is_over

    def wait(self) -> float | None:
        return self.rate.reset if self.rate else None


class ThrottledView(APIView):
    """Counts a request before it can be refused for other reasons, so that guessing tokens is limited too."""

    throttle_classes = [RateLimit]

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        finally:
            super().check_throttles(request)

    def check_throttles(self, request: Request) -> None:
        """Done above, before the permissions."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        rate: Rate | None = getattr(request, "rate", None)
        for name, value in rate.headers().items() if rate else ():
            response[name] = value
        return response


def _askers(request: Request, view: APIView, ip: str) -> Iterator[tuple[str, str]]:
    """The classes of a request, each with who is counted in it."""
    user = request.user
    kind = getattr(user, "rate_class", "user") if user.is_authenticated else "anonymous"
    who = str(user.pk) if user.is_authenticated else place_of(ip)
    yield kind, who
    token = getattr(user, "api_token", None)
    if token is not None:
        yield "token", str(token.pk)
    if classes := getattr(view, "rate_classes", None):
        doing = getattr(view, "action", None) or str(request.method).lower()
        if doing in classes:
            yield classes[doing], f"{kind}:{who}"


@lru_cache(maxsize=4096)
def place_of(ip: str) -> str:
    address = ipaddress.ip_address(ip) if ip else None
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip, IPV6_PREFIX), strict=False).network_address)
    return ip


def is_unlimited(ip: str) -> bool:
    networks = settings.HUB_API_UNLIMITED
    return bool(networks and ip) and any(ipaddress.ip_address(ip) in network for network in networks)
