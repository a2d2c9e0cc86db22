"""Devices, groups, enrolment tokens and log lines over HTTP: parse, call one service, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from hub.api.bulk import bulk_entry
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse
from hub.api.views import HubViewSet
from hub.exceptions import Invalid, NotFound

from .. import fleet, happenings, lists, outcomes, services
from ..models import Device, DeviceGroup, DeviceLog, EnrolmentToken
from ..services.bulk import decide_many
from . import filters
from . import serializers as shapes

UUID_PATTERN = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
decided = extend_schema(request=shapes.ReasonSerializer, responses=shapes.DeviceDetailSerializer)
seen = extend_schema(request=shapes.SeenKeySerializer, responses=shapes.DeviceDetailSerializer)
plain = extend_schema(request=None, responses=shapes.DeviceDetailSerializer)


class DeviceViewSet(HubViewSet):
    """Devices as people and programs see them."""

    queryset = Device.objects.all()
    serializer_class = shapes.DeviceSerializer
    filterset_class = filters.DeviceFilter
    ordering_fields = orders_of(lists.DEVICES)
    list_actions = frozenset({"list", "logs"})
    lookup_value_regex = UUID_PATTERN
    version_fields = ("name", "device_type", "tags", "region_id", "notes", "status")
    verbs: ClassVar[dict[str, str]] = {
        "list": "devices.view",
        "retrieve": "devices.view",
        "logs": "devices.view",
        "stats": "devices.view",
        "create": "devices.change",
        "partial_update": "devices.change",
        "*": "devices.control",
    }

    def get_queryset(self) -> QuerySet[Any]:
        if self.action == "logs":
            one = Device.objects.visible_to(self.request.user).filter(pk=self.kwargs["pk"])
            return DeviceLog.objects.filter(device__in=one.values("pk")).select_related("device")
        rows: Any = super().get_queryset()
        rows = rows.with_details()
        return rows.prefetch_related("groups", "keys") if self.detail else rows

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        if self.action == "logs":
            return shapes.DeviceLogSerializer
        return shapes.DeviceDetailSerializer if self.detail else shapes.DeviceSerializer

    @extend_schema(
        summary="Preauthorise a device by its key",
        request=shapes.PreauthoriseSerializer,
        responses={201: shapes.DeviceDetailSerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """It is accepted when it first proves that it holds this key; see `POST /devices/register`."""
        device = services.preauthorise_device(actor=request.user, **parse(shapes.PreauthoriseSerializer, request))
        answer = self._show(device)
        return Response(answer.data, status=201, headers={"Location": f"{request.path}/{device.pk}"})

    @extend_schema(request=shapes.DeviceChangeSerializer, responses=shapes.DeviceDetailSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        asked = parse(shapes.DeviceChangeSerializer, request)
        device = services.update_device(self.get_object(), actor=request.user, **asked)
        return self._show(device)

    @extend_schema(summary="The fleet in numbers", responses=shapes.StatsSerializer)
    @action(detail=False, filterset_class=None, pagination_class=None, ordering_fields=())
    def stats(self, request: Request) -> Response:
        """Of the devices that the asker may see."""
        counted, ended = fleet.figures(request.user), outcomes.outcomes(request.user)
        return Response({**shapes.FleetSerializer(counted).data, **shapes.OutcomesSerializer(ended).data})

    @extend_schema(
        summary="Decide about many devices",
        request=shapes.DeviceBulkSerializer,
        responses=shapes.DeviceBulkResultSerializer(many=True),
    )
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def bulk(self, request: Request) -> Response:
        """To accept devices, name the key of each: 409 `key_not_named` without, `other_key` for another."""
        asked = parse(shapes.DeviceBulkSerializer, request)
        seen = asked.get("fingerprints")
        results = decide_many(asked["ids"], asked["verb"], actor=request.user, fingerprints=seen)
        rows = [
            bulk_entry(each, status=200, device_status=each.value.status if each.value else None) for each in results
        ]
        return Response(shapes.DeviceBulkResultSerializer(rows, many=True).data)

    @extend_schema(summary="List the log lines of a device", responses=shapes.DeviceLogSerializer(many=True))
    @action(
        detail=True,
        queryset=DeviceLog.objects.all(),
        serializer_class=shapes.DeviceLogSerializer,
        filterset_class=filters.LogFilter,
        ordering_fields=orders_of(lists.LOGS),
    )
    def logs(self, request: Request, pk: str) -> Response:
        get_object_or_404(Device.objects.visible_to(request.user), pk=pk)
        return self.list(request)

    @seen
    @extend_schema(summary="Accept a device that waits or was rejected")
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """409 `not_now` when it neither waits nor was rejected; `other_key` when its key is not the `fingerprint`."""
        return self._decide(request, services.accept_device, **parse(shapes.SeenKeySerializer, request))

    @decided
    @extend_schema(summary="Reject a device that waits")
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """It may be accepted later."""
        return self._decide(request, services.reject_device, **parse(shapes.ReasonSerializer, request))

    @decided
    @extend_schema(summary="Refuse a device's requests for a while")
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Its tokens end at once."""
        return self._decide(request, services.suspend_device, **parse(shapes.ReasonSerializer, request))

    @plain
    @extend_schema(summary="Lift a suspension")
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        return self._decide(request, services.resume_device)

    @decided
    @extend_schema(summary="End a device for good")
    @action(detail=True, methods=["post"])
    def decommission(self, request: Request, pk: str) -> Response:
        """Its keys are revoked and never taken again; its history stays."""
        return self._decide(request, services.decommission_device, **parse(shapes.ReasonSerializer, request))

    @seen
    @extend_schema(summary="Take the key that is proposed for a device, in the place of all it had")
    @action(detail=True, methods=["post"], url_path="accept-key")
    def accept_key(self, request: Request, pk: str) -> Response:
        """409 `nothing_proposed` when there is none, `other_key` when it is not the one of this `fingerprint`."""
        return self._decide(request, services.accept_key, **parse(shapes.SeenKeySerializer, request))

    @seen
    @extend_schema(summary="Refuse the key that is proposed for a device")
    @action(detail=True, methods=["post"], url_path="refuse-key")
    def refuse_key(self, request: Request, pk: str) -> Response:
        """It is never taken again. 409 `nothing_proposed` or `other_key` as for accepting it."""
        return self._decide(request, services.refuse_key, **parse(shapes.SeenKeySerializer, request))

    def _decide(self, request: Request, decide: Callable[..., Any], **values: Any) -> Response:
        device = self.get_object()
        decide(device, actor=request.user, **values)
        return self._show(device)

    def _show(self, device: Device) -> Response:
        rows = Device.objects.with_details().prefetch_related("groups", "keys")
        self.shown = rows.get(pk=device.pk)
        return Response(shapes.DeviceDetailSerializer(self.shown).data)


class DeviceGroupViewSet(HubViewSet):
    """Static groups of devices."""

    queryset = DeviceGroup.objects.all()
    serializer_class = shapes.DeviceGroupSerializer
    filterset_class = filters.GroupFilter
    ordering_fields = orders_of(lists.GROUPS)
    lookup_field = "slug"
    lookup_value_regex = r"[-a-zA-Z0-9_]+"
    version_fields = ("name", "description", "priority")
    verbs: ClassVar[dict[str, str]] = {"list": "devices.view", "retrieve": "devices.view", "*": "devices.change"}

    def get_queryset(self) -> QuerySet[Any]:
        rows: Any = super().get_queryset()
        return rows.with_members(self.request.user)

    @extend_schema(responses={201: shapes.DeviceGroupSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        group = services.create_group(actor=request.user, **parse(shapes.DeviceGroupSerializer, request))
        location = {"Location": f"{request.path}/{group.slug}"}
        return Response(self._data(group), status=201, headers=location)

    @extend_schema(request=shapes.DeviceGroupSerializer, responses=shapes.DeviceGroupSerializer)
    @conditional
    def partial_update(self, request: Request, slug: str) -> Response:
        group = self.get_object()
        asked = shapes.DeviceGroupSerializer(group, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        self.shown = services.update_group(group, actor=request.user, **asked.validated_data)
        return Response(self._data(self.shown))

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, slug: str) -> Response:
        """Its devices stay. 409 `in_use` while an enrolment token leads into it."""
        services.delete_group(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(
        summary="Put devices into a group and take others out",
        request=shapes.MembersSerializer,
        responses=shapes.MembersAnswerSerializer,
    )
    @action(detail=True, methods=["post"])
    def members(self, request: Request, slug: str) -> Response:
        """All or none: a device that there is not refuses the whole."""
        asked = parse(shapes.MembersSerializer, request)
        come, go = (self._devices(asked.get(name, [])) for name in ("add", "remove"))
        added, removed = services.set_members(self.get_object(), actor=request.user, add=come, remove=go)
        return Response({"added": added, "removed": removed})

    def _devices(self, ids: list[Any]) -> list[Device]:
        rows = Device.objects.visible_to(self.request.user).present().select_related("region")
        found = list(rows.filter(pk__in=ids))
        if len(found) != len(set(ids)):
            raise NotFound("There is no such device among them.")
        return found

    def _data(self, group: DeviceGroup) -> Any:
        row = DeviceGroup.objects.with_members(self.request.user).get(pk=group.pk)
        return shapes.DeviceGroupSerializer(row).data


class EnrolmentTokenViewSet(HubViewSet):
    """Tokens with which devices enrol without anybody accepting each."""

    queryset = EnrolmentToken.objects.select_related("region", "group")
    serializer_class = shapes.EnrolmentTokenSerializer
    filterset_class = filters.TokenFilter
    ordering_fields = orders_of(lists.TOKENS, "created_at")
    verbs: ClassVar[dict[str, str]] = {"*": "devices.change"}

    @extend_schema(responses={201: shapes.NewEnrolmentTokenSerializer})
    def create(self, request: Request) -> Response:
        """The answer holds the secret, which nobody sees again."""
        token, secret = services.create_token(actor=request.user, **parse(shapes.EnrolmentTokenSerializer, request))
        answer = shapes.NewEnrolmentTokenSerializer(token, context={"secret": secret}).data
        headers = {"Location": f"{request.path}/{token.pk}", "Cache-Control": "no-store"}
        return Response(answer, status=201, headers=headers)

    @extend_schema(
        summary="Let nobody enrol with a token any more", request=None, responses=shapes.EnrolmentTokenSerializer
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Devices that have enrolled with it stay."""
        token = services.revoke_token(self.get_object(), actor=request.user)
        return Response(shapes.EnrolmentTokenSerializer(token).data)


class DeviceLogViewSet(HubViewSet):
    """Log lines of all devices, newest first."""

    queryset = DeviceLog.objects.select_related("device")
    serializer_class = shapes.DeviceLogSerializer
    filterset_class = filters.LogFilter
    ordering_fields = orders_of(lists.LOGS)
    verbs: ClassVar[dict[str, str]] = {"*": "devices.view"}

    @extend_schema(
        summary="Show what happened to devices: log lines, deployments, health and silence",
        parameters=[shapes.MergedQuerySerializer],
        responses=shapes.HappeningSerializer(many=True),
    )
    @action(detail=False, filterset_class=None, pagination_class=None, filter_backends=())
    def merged(self, request: Request) -> Response:
        """Newest first. A failed deployment and a device that is offline are of level ERROR, a degraded one WARNING."""
        query = shapes.MergedQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        device = query.validated_data.get("device")
        if device is not None and not Device.objects.visible_to(request.user).filter(pk=device).exists():
            raise Invalid("There is no such device.", code="no_such_device", field="device")
        found = happenings.merged(request.user, query.validated_data["limit"], device)
        return Response(shapes.HappeningSerializer(found, many=True).data)
