"""How a device says who it is: by its signature on what changes something, by its token on what is read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts.actors import DeviceActor
from hub import context
from hub.api import throttles
from hub.api.throttles import Rate, ThrottledView

from .. import claims, sessions
from ..models import Device


class SignedRequest(BaseAuthentication):
    """A request that its device has signed. Its counter is taken before anything is done, and stays taken."""

    def authenticate(self, request: Request) -> tuple[DeviceActor, claims.Claimed]:
        named = getattr(request, "parser_context", {}).get("kwargs", {}).get("id")
        known, signed = claims.check(request._request, named)
        claims.count_request(known.device_id)
        claimed = claims.take(known, signed, wanted=", device.name")
        actor = DeviceActor(str(claimed.device_id), claimed.row[0])
        context.amend(user=f"device:{actor.pk}")
        return actor, claimed

    def authenticate_header(self, request: Request) -> str:
        return "Signature"


class DeviceToken(BaseAuthentication):
    """`Authorization: Bearer …`: the short token of a device, for what is read."""

    def authenticate(self, request: Request) -> tuple[DeviceActor, Device]:
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        device = sessions.device_of(text.strip()) if scheme.lower() == "bearer" else None
        if device is None:
            claims.refused_total.labels("token").inc()
            raise AuthenticationFailed("This needs the token of a device: see POST /api/v1/devices/token.")
        claims.count_request(device.pk)
        actor = DeviceActor(str(device.pk), device.name)
        context.amend(user=f"device:{actor.pk}")
        return actor, device

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class AnonymousRate(BaseThrottle):
    """Who is not known yet is counted by address; a device counts itself when it is believed."""

    rate: Rate | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.user.is_authenticated:
            return True
        ip = context.current().ip or ""
        if not throttles.is_unlimited(ip):
            self.rate = throttles.count("anonymous", throttles.place_of(ip))
        request.rate = self.rate  # type: ignore[attr-defined]  # for the headers of the answer
        return self.rate is None or not self.rate.is_over

    def wait(self) -> float | None:
        return self.rate.reset if self.rate else None


class DeviceView(ThrottledView):
    """A route that devices call. `device_id` is the caller's; a path that names another device is refused before."""

    throttle_classes = [AnonymousRate]

    @property
    def actor(self) -> DeviceActor:
        actor: Any = self.request.user
        return actor

    @property
    def device_id(self) -> UUID:
        return UUID(self.actor.pk)


class SignedDeviceView(DeviceView):
    """What changes something: signed."""

    authentication_classes = [SignedRequest]
    permission_classes = [IsAuthenticated]

    @property
    def claimed(self) -> claims.Claimed:
        claimed: Any = self.request.auth
        return claimed

    def get_device(self) -> Device:
        return Device.objects.select_related("region", "beat").get(pk=self.device_id)


class ReadingDeviceView(DeviceView):
    """What is read: by token."""

    authentication_classes = [DeviceToken]
    permission_classes = [IsAuthenticated]

    @property
    def device(self) -> Device:
        device: Any = self.request.auth
        return device


class SignedScheme(OpenApiAuthenticationExtension):
    """RFC 9421."""

    target_class = "devices.api.authentication.SignedRequest"
    name = "deviceSignature"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Signature",
            "description": "HTTP Message Signatures (RFC 9421) with the device's key; see docs/devices.md.",
        }


class TokenScheme(OpenApiAuthenticationExtension):
    """The short token."""

    target_class = "devices.api.authentication.DeviceToken"
    name = "deviceToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "From `/api/v1/devices/token`."}
