"""What devices call: enrol, get a token, rotate their key, send log lines. The heartbeat has a module of its own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.shapes import parse

from .. import services, sessions
from ..services.enrolment import NONCE_SECONDS, prove
from ..services.logs import store_lines
from . import device_serializers as shapes
from .authentication import DeviceView, ReadingDeviceView, SignedDeviceView


class OpenDeviceView(DeviceView):
    """For devices that are not known yet, or have no token yet."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []


class NonceView(OpenDeviceView):
    """The first step of an enrolment."""

    @extend_schema(summary="Get a nonce to enrol with", request=None, responses=shapes.NonceSerializer)
    def post(self, request: Request) -> Response:
        """Sign the enrolment over it within five minutes."""
        return Response({"nonce": services.new_nonce(), "expires_in": NONCE_SECONDS})


class RegisterView(OpenDeviceView):
    """The second step."""

    @extend_schema(
        summary="Enrol (signed with the key that the request brings)",
        request=shapes.EnrolSerializer,
        responses={201: shapes.EnrolledSerializer, 401: None, 403: None},
    )
    def post(self, request: Request) -> Response:
        """Signed as RFC 9421 with tag `hub-enrol` over the nonce.

        The same key again answers the same record. A new key for a known identity waits for somebody to decide; a known
        key with another identity is 409 `key_known`.
        """
        request._request.body  # noqa: B018 - kept, because the signature is over it and the parser reads it too
        asked = parse(shapes.EnrolSerializer, request)
        facts = prove(request._request, asked["public_key"])
        found = services.enrol_device(
            facts,
            identity=asked.get("identity"),
            device_type=asked.get("device_type", ""),
            hardware=asked.get("hardware_metadata"),
            enrolment_token=asked.get("enrolment_token", ""),
        )
        shown = {
            "device_id": found.device.pk,
            "status": found.device.status,
            "key_state": found.key_state,
            "polling_interval": found.device.beat.interval_seconds,
        }
        return Response(shapes.EnrolledSerializer(shown).data, status=201)


class TokenView(OpenDeviceView):
    """Tokens for reading."""

    @extend_schema(
        summary="Trade a signed assertion for a short token",
        request=shapes.TokenRequestSerializer,
        responses={200: shapes.DeviceTokenSerializer, 401: None, 403: None},
    )
    def post(self, request: Request) -> Response:
        """RFC 7523: `iss` and `sub` are the device's id, `aud` this address, `exp` within five minutes, `jti` new."""
        asked = parse(shapes.TokenRequestSerializer, request)
        ours = {f"{settings.HUB_URL.rstrip('/')}{request.path}", request.build_absolute_uri(request.path)}
        token, seconds = sessions.trade(asked["assertion"], audiences=ours)
        return Response({"access_token": token, "token_type": "Bearer", "expires_in": seconds})


class SelfView(ReadingDeviceView):
    """The device's own record."""

    @extend_schema(summary="Show the device that asks", responses=shapes.SelfSerializer)
    def get(self, request: Request) -> Response:
        """With the highest counter that was taken, for a device that has lost its state."""
        return Response(shapes.SelfSerializer(self.device).data)


class KeyView(SignedDeviceView):
    """The device's key."""

    @extend_schema(
        summary="Rotate the key (signed with the old one, proven with the new one)",
        request=shapes.RotateKeySerializer,
        responses={201: shapes.RotatedSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        """The first use of the new key retires the old one, which is still taken for some days."""
        asked = parse(shapes.RotateKeySerializer, request)
        key = services.rotate_key(self.get_device(), signed_by=self.claimed.key_id, **asked)
        return Response({"fingerprint": key.fingerprint, "state": key.state}, status=201)


class LogBatchView(SignedDeviceView):
    """The device's log."""

    @extend_schema(
        summary="Send log lines (signed by the device)",
        request=shapes.LogBatchSerializer,
        responses=shapes.IngestedSerializer,
    )
    def post(self, request: Request, id: UUID | None = None) -> Response:
        """A batch with a number that is stored already is answered with `ingested: 0`; `sequence` is the highest."""
        asked = parse(shapes.LogBatchSerializer, request)
        count, last = store_lines(self.device_id, asked["lines"], sequence=asked.get("sequence"))
        return Response({"ingested": count, "sequence": last})
