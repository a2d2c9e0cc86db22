"""Manual commands over HTTP: send to devices, look, take back; and the device's answer."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from hub.api.bulk import bulk_entry
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse
from hub.api.views import HubViewSet

from ..manual import services
from ..manual.lists import COMMANDS
from ..manual.models import ManualCommand
from . import command_serializers as shapes
from .authentication import SignedDeviceView
from .filters import CommandFilter

COMMAND = OpenApiParameter("command", OpenApiTypes.UUID, OpenApiParameter.PATH)


class CommandViewSet(HubViewSet):
    """Commands that people send to devices by hand."""

    queryset = ManualCommand.objects.select_related("device__region")
    serializer_class = shapes.DeviceCommandSerializer
    filterset_class = CommandFilter
    ordering_fields = orders_of(COMMANDS)
    verbs: ClassVar[dict[str, str]] = {"list": "devices.view", "retrieve": "devices.view", "*": "devices.control"}

    def get_queryset(self) -> QuerySet[Any]:
        rows: Any = super().get_queryset()
        return rows if self.detail else rows.defer("output")

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        return shapes.DeviceCommandDetailSerializer if self.detail else shapes.DeviceCommandSerializer

    @extend_schema(
        summary="Send a command to devices",
        request=shapes.SendCommandSerializer,
        responses={200: shapes.DeviceCommandBulkResultSerializer(many=True)},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Offered with the next heartbeat of each. Refused for a device that is not accepted (`not_accepted`), whose
        bundle declares no such command (`no_such_command`), or for which 20 wait already (`too_many_commands`)."""
        asked = parse(shapes.SendCommandSerializer, request)
        results = services.send_many(asked.pop("ids"), actor=request.user, **asked)
        rows = [bulk_entry(each, status=201, command=each.value.pk if each.value else None) for each in results]
        return Response(shapes.DeviceCommandBulkResultSerializer(rows, many=True).data)

    @extend_schema(summary="Take a command back", request=None, responses=shapes.DeviceCommandDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """409 `not_now` when the device has heard of it, or it has ended."""
        services.cancel_command(self.get_object(), actor=request.user)
        return Response(shapes.DeviceCommandDetailSerializer(self.get_object()).data)


class CommandResultView(SignedDeviceView):
    """How a command went."""

    @extend_schema(
        summary="Say how a manual command went (signed by the device)",
        parameters=[COMMAND],
        request=shapes.DeviceCommandResultSerializer,
        responses={200: shapes.DeviceCommandAnswerSerializer, 403: None},
    )
    def post(self, request: Request, id: UUID, command: UUID) -> Response:
        """A result counts once: the same again is answered 200 with `counted: false`. 409 `not_offered` for one that
        the device was never told of."""
        said = parse(shapes.DeviceCommandResultSerializer, request)
        row, counted = services.report_command(self.device_id, command, **said)
        return Response({"status": row.status, "counted": counted})
