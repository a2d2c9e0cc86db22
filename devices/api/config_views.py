"""Configurations of devices and groups, and what was deployed to a device, over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.shapes import parse
from hub.api.views import HubViewSet
from hub.exceptions import Invalid

from ..bundles.models import Bundle
from ..configuration import services
from ..configuration.models import GroupConfig
from ..deployments import suits
from ..deployments.models import DeploymentTarget
from ..models import Device, DeviceGroup
from . import bundle_serializers as shapes

LATEST = 100
OTHERS = ("expected_version", "note")


class DeviceConfigViewSet(HubViewSet):
    """What a device is set to and what it has run; beside the routes of devices."""

    queryset = Device.objects.select_related("region")
    serializer_class = shapes.ConfigSerializer
    pagination_class = None
    filter_backends: list[Any] = []
    verbs: ClassVar[dict[str, str]] = {
        "config": "devices.view",
        "config_history": "devices.view",
        "bundle_history": "devices.view",
        "why_not": "devices.view",
        "*": "devices.change",
    }

    @extend_schema(summary="Show the configuration of a device", responses=shapes.ConfigSerializer)
    def config(self, request: Request, pk: str) -> Response:
        """The defaults, version 1, when nobody has set anything."""
        return Response(shapes.ConfigSerializer(services.config_of(self.get_object())).data)

    @extend_schema(
        summary="Set the configuration of a device",
        request=shapes.ConfigChangeSerializer,
        responses=shapes.ConfigSerializer,
    )
    def set_config(self, request: Request, pk: str) -> Response:
        """In place of all it had of its own. 409 `version_differs` when `expected_version` is not the present one."""
        values, others = _split(parse(shapes.ConfigChangeSerializer, request))
        config = services.set_device_config(self.get_object(), values, actor=request.user, **others)
        return Response(shapes.ConfigSerializer(config).data)

    @extend_schema(
        summary="Earlier configurations of a device, newest first", responses=shapes.RevisionSerializer(many=True)
    )
    def config_history(self, request: Request, pk: str) -> Response:
        rows = services.history_of(self.get_object(), LATEST)
        return Response(shapes.RevisionSerializer(rows, many=True).data)

    @extend_schema(
        summary="Go back to an earlier configuration of a device",
        request=shapes.ConfigRollbackSerializer,
        responses=shapes.ConfigSerializer,
    )
    def rollback_config(self, request: Request, pk: str) -> Response:
        """Its values as a new version."""
        asked = parse(shapes.ConfigRollbackSerializer, request)
        config = services.rollback_device_config(self.get_object(), actor=request.user, **asked)
        return Response(shapes.ConfigSerializer(config).data)

    @extend_schema(
        summary="What was installed on a device, newest first",
        parameters=[shapes.HistoryQuerySerializer],
        responses=shapes.TargetSerializer(many=True),
    )
    def bundle_history(self, request: Request, pk: str) -> Response:
        """The latest that succeeded, failed or were rolled back."""
        asked = shapes.HistoryQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        limit = asked.validated_data["limit"]
        rows = DeploymentTarget.objects.filter(device=self.get_object()).history()
        return Response(shapes.TargetSerializer(rows.select_related("device", "bundle")[:limit], many=True).data)

    @extend_schema(
        summary="Why a device does not run a bundle",
        parameters=[shapes.WhyNotQuerySerializer],
        responses=shapes.ReasonSerializer(many=True),
    )
    def why_not(self, request: Request, pk: str) -> Response:
        """Every reason; none when it runs it."""
        asked = shapes.WhyNotQuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        bundle = _find(Bundle.objects.visible_to(request.user), asked.validated_data["bundle"])
        return Response(shapes.ReasonSerializer(suits.why_not(self.get_object(), bundle), many=True).data)


class GroupConfigViewSet(HubViewSet):
    """What the devices of a group inherit."""

    queryset = DeviceGroup.objects.all()
    serializer_class = shapes.GroupConfigSerializer
    pagination_class = None
    filter_backends: list[Any] = []
    lookup_field = "slug"
    verbs: ClassVar[dict[str, str]] = {
        "config": "devices.view",
        "config_history": "devices.view",
        "*": "devices.change",
    }

    @extend_schema(summary="Show the configuration of a group", responses=shapes.GroupConfigSerializer)
    def config(self, request: Request, slug: str) -> Response:
        group = self.get_object()
        found = GroupConfig.objects.filter(group=group).first() or GroupConfig(group=group)
        return Response(shapes.GroupConfigSerializer(found).data)

    @extend_schema(
        summary="Set the configuration of a group",
        request=shapes.ConfigChangeSerializer,
        responses=shapes.GroupConfigSerializer,
    )
    def set_config(self, request: Request, slug: str) -> Response:
        """Its devices inherit it; those for which something changes get a new version."""
        values, others = _split(parse(shapes.ConfigChangeSerializer, request))
        config = services.set_group_config(self.get_object(), values, actor=request.user, **others)
        return Response(shapes.GroupConfigSerializer(config).data)

    @extend_schema(
        summary="Earlier configurations of a group, newest first", responses=shapes.RevisionSerializer(many=True)
    )
    def config_history(self, request: Request, slug: str) -> Response:
        rows = services.history_of(self.get_object(), LATEST)
        return Response(shapes.RevisionSerializer(rows, many=True).data)

    @extend_schema(
        summary="Go back to an earlier configuration of a group",
        request=shapes.ConfigRollbackSerializer,
        responses=shapes.GroupConfigSerializer,
    )
    def rollback_config(self, request: Request, slug: str) -> Response:
        """Its values as a new version, which its devices inherit."""
        asked = parse(shapes.ConfigRollbackSerializer, request)
        config = services.rollback_group_config(self.get_object(), actor=request.user, **asked)
        return Response(shapes.GroupConfigSerializer(config).data)


def _split(asked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values, and what is said about the change."""
    return (
        {name: value for name, value in asked.items() if name not in OTHERS},
        {name: value for name, value in asked.items() if name in OTHERS},
    )


def _find(rows: Any, key: Any) -> Bundle:
    found: Bundle | None = rows.filter(pk=key).first()
    if found is None:
        raise Invalid("There is no such bundle.", code="no_such_bundle", field="bundle")
    return found
