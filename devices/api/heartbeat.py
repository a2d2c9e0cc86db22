"""The heartbeat's route: a plain view, because ten thousand devices ask it, with a face for the OpenAPI document."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from hub.api.errors import Problem, problem_response
from hub.api.openapi import example

from ..services.heartbeat import take_heartbeat

NOT_ALLOWED = Problem(405, "method_not_allowed", "A heartbeat is sent with POST.")


class HeartbeatRequestSerializer(serializers.Serializer[Any]):
    """What a device says of itself; more fields are ignored."""

    agent_version = serializers.CharField(max_length=50, required=False)
    status = serializers.CharField(max_length=50, required=False, help_text="healthy, degraded or error.")
    memory_mb = serializers.FloatField(min_value=0, max_value=1_000_000, required=False)
    cpu_pct = serializers.FloatField(min_value=0, max_value=100, required=False)
    disk_pct = serializers.FloatField(min_value=0, max_value=100, required=False)
    load = serializers.FloatField(min_value=0, max_value=100_000, required=False, help_text="Of the last minute.")
    bundle_version = serializers.CharField(max_length=100, required=False, help_text="What it runs.")
    config_version = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)


class OfferedCommandSerializer(serializers.Serializer[Any]):
    """One thing to do; its other fields depend on the type."""

    type = serializers.CharField()


class HeartbeatAnswerSerializer(serializers.Serializer[Any]):
    """What is wanted of the device, and when it should call again."""

    commands = OfferedCommandSerializer(many=True)
    polling_interval = serializers.IntegerField()
    next_in_seconds = serializers.FloatField(help_text="The interval, give or take a tenth.")
    server_time = serializers.IntegerField(help_text="Seconds since 1970, for devices whose clock is wrong.")


example(
    HeartbeatRequestSerializer,
    "All is well",
    {"agent_version": "0.1.0", "status": "healthy", "memory_mb": 512, "cpu_pct": 12.5},
)


class HeartbeatView(APIView):
    """What the document shows; requests go to `heartbeat`."""

    authentication_classes: list[Any] = []
    permission_classes: list[Any] = []

    @extend_schema(
        summary="Send a heartbeat (signed by the device)",
        request=HeartbeatRequestSerializer,
        responses={200: HeartbeatAnswerSerializer, 401: None, 403: None},
    )
    def post(self, request: Request, id: UUID) -> Response:
        """Signed as RFC 9421 with a rising counter; answers the commands for this device."""
        raise NotImplementedError("the route leads to `heartbeat`")


def heartbeat(request: HttpRequest, id: UUID) -> HttpResponse:
    """Answer one heartbeat. What is refused becomes a problem in the middleware for errors."""
    if request.method != "POST":
        response = problem_response(NOT_ALLOWED)
        response["Allow"] = "POST"
        return response
    return JsonResponse(take_heartbeat(request, id))


heartbeat.csrf_exempt = True  # type: ignore[attr-defined]  # it is signed, and no browser's cookie is looked at
heartbeat.cls = HeartbeatView  # type: ignore[attr-defined]  # for the OpenAPI document
heartbeat.initkwargs = {}  # type: ignore[attr-defined]
