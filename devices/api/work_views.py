"""What devices call about their work: what to do, the file, how it went; their sealing key; what they have applied."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.errors import Problem, problem_response
from hub.api.shapes import parse

from .. import claims, sessions
from ..bundles.serving import send_stored
from ..configuration import services as configuration
from ..deployments.results import report_result
from ..deployments.work import describe_work, find_work, set_sealing_key
from . import work_serializers as shapes
from .authentication import ReadingDeviceView, SignedDeviceView

NEEDS_TOKEN = Problem(401, "authentication_failed", "This needs the token of a device: see POST /api/v1/devices/token.")
NOT_ALLOWED = Problem(405, "method_not_allowed", "A file is read.")
DEPLOYMENT = OpenApiParameter("deployment", OpenApiTypes.UUID, OpenApiParameter.PATH)


class WorkView(ReadingDeviceView):
    """One piece of work of the device that asks."""

    @extend_schema(
        summary="What a device needs for its work",
        parameters=[DEPLOYMENT],
        responses={200: shapes.WorkSerializer, 403: None, 409: None},
    )
    def get(self, request: Request, deployment: UUID) -> Response:
        """403 `not_a_target` for another device, 409 `called_off`, 410 `closed` after the end."""
        work = describe_work(find_work(self.device_id, deployment))
        return Response(work, headers={"Cache-Control": "no-store"})


class ResultView(SignedDeviceView):
    """How it goes, and how it went."""

    @extend_schema(
        summary="Say how a deployment goes (signed by the device)",
        parameters=[DEPLOYMENT],
        request=shapes.ResultSerializer,
        responses={200: shapes.ResultAnswerSerializer, 403: None},
    )
    def post(self, request: Request, deployment: UUID) -> Response:
        """A result counts once: the same again is answered 200 with `counted: false`, so repeat it until it is taken.

        400 for a status that there is not, 403 `not_a_target`, 409 `called_off`, 410 `closed` for progress after the
        end, 429 `too_many_reports`; the last word is always taken.
        """
        said = {key: value for key, value in parse(shapes.ResultSerializer, request).items() if value is not None}
        query = request.query_params
        said.setdefault("status", query.get("status_str", "")[:20])
        said.setdefault("error_message", query.get("error_message", "")[:10_000])
        target, counted = report_result(self.device_id, deployment, **said)
        return Response({"status": target.status, "counted": counted})


class SealingKeyView(SignedDeviceView):
    """The key by which a device reads what is sealed for it."""

    @extend_schema(
        summary="Register the key that opens bundles (signed by the device)",
        request=shapes.SealingKeySerializer,
        responses={200: shapes.SealingKeySerializer, 403: None},
    )
    def post(self, request: Request, id: UUID) -> Response:
        """X25519. Needed by devices whose own key is Ed25519, which only signs; a new one replaces the old."""
        row = set_sealing_key(self.get_device(), parse(shapes.SealingKeySerializer, request)["public_key"])
        return Response({"public_key": row.public_key})


class AppliedView(SignedDeviceView):
    """What a device has applied."""

    @extend_schema(
        summary="Say which configuration is applied (signed by the device)",
        request=shapes.AppliedSerializer,
        responses={200: shapes.AppliedAnswerSerializer, 403: None},
    )
    def post(self, request: Request, id: UUID) -> Response:
        """With `problem` when it could not be applied. 409 `no_such_version` for one that was never made."""
        asked: dict[str, Any] = parse(shapes.AppliedSerializer, request)
        config = configuration.report_applied(self.device_id, asked["config_version"], error=asked.get("problem", ""))
        return Response({"config_version": config.version if config else 1})


def work_file(request: HttpRequest, deployment: UUID) -> HttpResponseBase:
    """The file of a piece of work, with ranges; outside content negotiation, because clients ask for octets."""
    if request.method not in ("GET", "HEAD"):
        response = problem_response(NOT_ALLOWED)
        response["Allow"] = "GET, HEAD"
        return response
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    device = sessions.device_of(text.strip()) if scheme.lower() == "bearer" else None
    if device is None:
        claims.refused_total.labels("token").inc()
        response = problem_response(NEEDS_TOKEN)
        response["WWW-Authenticate"] = "Bearer"
        return response
    claims.count_request(device.pk)
    return send_stored(request, find_work(device.pk, deployment).bundle)


work_file.csrf_exempt = True  # type: ignore[attr-defined]  # no cookie is looked at
