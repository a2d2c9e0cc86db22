"""Regions, nodes, pools, addresses and operations over HTTP."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.bulk import bulk_entry
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.views import HubViewSet
from hub.nodes import clusters, lists, services
from hub.nodes.models import Address, AddressPool, Node, Operation, Region
from hub.nodes.workloads import operations_visible_to

from .clusters import ClusterActions
from .filters import AddressFilter, NodeFilter, OperationFilter, PoolFilter, RegionFilter
from .serializers import (
    AddressBulkResultSerializer,
    AddressBulkSerializer,
    AddressSerializer,
    BlockSerializer,
    NodeSerializer,
    OperationSerializer,
    PoolChangeSerializer,
    PoolSerializer,
    RegionSerializer,
)
from .upkeep import UpkeepActions

CAPACITY = ("memory_mb", "cpu_percent", "disk_mb", "overcommit")


class RegionViewSet(HubViewSet):
    """Where nodes stand."""

    queryset = Region.objects.all()
    serializer_class = RegionSerializer
    lookup_field = "slug"
    verbs: ClassVar[dict[str, str]] = {"list": "regions.view", "retrieve": "regions.view", "*": "regions.change"}
    filterset_class = RegionFilter
    ordering_fields = orders_of(lists.REGIONS)
    version_fields = ("name", "position", "is_enabled")

    @extend_schema(responses={201: RegionSerializer})
    def create(self, request: Request) -> Response:
        asked = RegionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = {
            name: asked.validated_data[name] for name in ("slug", "name", "position") if name in asked.validated_data
        }
        region = services.create_region(actor=request.user, **wanted)
        return Response(RegionSerializer(region).data, status=201)

    @extend_schema(request=RegionSerializer, responses=RegionSerializer)
    @conditional
    def partial_update(self, request: Request, slug: str) -> Response:
        asked = RegionSerializer(self.get_object(), data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        self.shown = services.update_region(self.get_object(), actor=request.user, **asked.validated_data)
        return Response(RegionSerializer(self.shown).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, slug: str) -> Response:
        services.delete_region(self.get_object(), actor=request.user)
        return Response(status=204)


class NodeViewSet(UpkeepActions, ClusterActions, HubViewSet):
    """Machines and clusters that run workloads."""

    queryset = Node.objects.select_related("region")
    serializer_class = NodeSerializer
    filterset_class = NodeFilter
    lookup_field = "name"
    verbs: ClassVar[dict[str, str]] = {
        "list": "nodes.view",
        "retrieve": "nodes.view",
        **UpkeepActions.upkeep_verbs,
        **ClusterActions.cluster_verbs,
        "*": "nodes.change",
    }
    ordering_fields = orders_of(lists.NODES)
    version_fields = ("region_id", "options", "is_enabled", "is_draining", *CAPACITY)

    @extend_schema(responses={201: NodeSerializer})
    def create(self, request: Request) -> Response:
        asked = NodeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        node = services.create_node(actor=request.user, **asked.validated_data)
        return Response(NodeSerializer(node).data, status=201)

    @extend_schema(request=NodeSerializer, responses=NodeSerializer)
    @conditional
    def partial_update(self, request: Request, name: str) -> Response:
        asked = NodeSerializer(self.get_object(), data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        changes = dict(asked.validated_data)
        if kubeconfig := changes.pop("kubeconfig", ""):
            clusters.set_kubeconfig(self.get_object(), actor=request.user, kubeconfig=kubeconfig)
        self.shown = services.update_node(self.get_object(), actor=request.user, **changes)
        return Response(NodeSerializer(self.shown).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, name: str) -> Response:
        services.delete_node(self.get_object(), actor=request.user)
        return Response(status=204)


class PoolViewSet(HubViewSet):
    """Address pools with how much of each is free."""

    queryset = AddressPool.objects.select_related("node")
    serializer_class = PoolSerializer
    filterset_class = PoolFilter
    verbs: ClassVar[dict[str, str]] = {"list": "pools.view", "retrieve": "pools.view", "*": "pools.change"}
    ordering_fields = orders_of(lists.POOLS, "created_at")
    version_fields = ("is_enabled",)

    def get_queryset(self) -> QuerySet[Any]:
        queryset: Any = super().get_queryset()
        return queryset.with_counts()

    @extend_schema(responses={201: PoolSerializer})
    def create(self, request: Request) -> Response:
        asked = PoolSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        pool = services.create_pool(actor=request.user, **asked.validated_data)
        return Response(PoolSerializer(self.get_queryset().get(pk=pool.pk)).data, status=201)

    @extend_schema(request=PoolChangeSerializer, responses=PoolSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        asked = PoolChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.set_pool_enabled(self.get_object(), actor=request.user, **asked.validated_data)
        return Response(PoolSerializer(self.get_object()).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        services.delete_pool(self.get_object(), actor=request.user)
        return Response(status=204)


class AddressViewSet(HubViewSet):
    """Every port, IP and subnet, and who holds it."""

    queryset = Address.objects.select_related("node")
    serializer_class = AddressSerializer
    filterset_class = AddressFilter
    verbs: ClassVar[dict[str, str]] = {"list": "addresses.view", "retrieve": "addresses.view", "*": "addresses.change"}
    ordering_fields = orders_of(lists.ADDRESSES, "released_at")
    version_fields = ("state", "reason")

    @extend_schema(summary="Take an address out of use", request=BlockSerializer, responses=AddressSerializer)
    @action(detail=True, methods=["post"])
    def block(self, request: Request, pk: str) -> Response:
        asked = BlockSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.block_address(self.get_object(), actor=request.user, reason=asked.validated_data["reason"])
        return Response(AddressSerializer(self.get_object()).data)

    @extend_schema(summary="Put an address back into use", request=None, responses=AddressSerializer)
    @action(detail=True, methods=["post"])
    def unblock(self, request: Request, pk: str) -> Response:
        services.unblock_address(self.get_object(), actor=request.user)
        return Response(AddressSerializer(self.get_object()).data)

    @extend_schema(
        summary="Block or unblock many addresses, with a result for each",
        request=AddressBulkSerializer,
        responses=AddressBulkResultSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        asked = AddressBulkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        if values["verb"] == "block":
            results = services.block_addresses(values["ids"], actor=request.user, reason=values["reason"])
        else:
            results = services.unblock_addresses(values["ids"], actor=request.user)
        rows = [bulk_entry(result, status=200) for result in results]
        return Response(AddressBulkResultSerializer(rows, many=True).data)


class OperationViewSet(HubViewSet):
    """Wishes and their fate."""

    queryset = Operation.objects.select_related("node")
    serializer_class = OperationSerializer
    filterset_class = OperationFilter
    verbs: ClassVar[dict[str, str]] = {"*": "operations.view"}
    ordering_fields = orders_of(lists.OPERATIONS, "finished_at")

    def get_queryset(self) -> QuerySet[Operation]:
        if getattr(self, "swagger_fake_view", False):
            return Operation.objects.none()
        return operations_visible_to(self.request.user).select_related("node")
