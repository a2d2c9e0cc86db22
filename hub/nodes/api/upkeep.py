"""A node's upkeep over HTTP: drift report and remedies, images, registries, data left behind, and its agent's tasks."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.permissions import require
from hub.api.views import HubViewSet
from hub.nodes import drift, images, kept, repairs
from hub.nodes import registries as registry_services
from hub.nodes.choices import Finding, TaskVerb
from hub.nodes.models import NodeTask

from .filters import TaskFilter

REMEDY_VERBS = (TaskVerb.ADOPT, TaskVerb.REPAIR, TaskVerb.REMOVE)


class NodeTaskSerializer(serializers.ModelSerializer[NodeTask]):
    """What a node's agent was asked, and what came of it."""

    node: Any = serializers.SlugRelatedField(slug_field="name", read_only=True)
    actor = serializers.CharField(source="actor_name", read_only=True)

    class Meta:
        model = NodeTask
        fields = [
            "id",
            "node",
            "verb",
            "subject",
            "status",
            "message",
            "progress_percent",
            "actor",
            "request_id",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


class DriftRowSerializer(serializers.Serializer[Any]):
    """One workload or address: what the database, the engine and the sockets say, and what can be done."""

    key = serializers.CharField()
    finding = serializers.ChoiceField(choices=Finding.choices)
    is_problem = serializers.BooleanField()
    subject = serializers.CharField()
    database = serializers.CharField()
    engine = serializers.CharField()
    sockets = serializers.CharField()
    why = serializers.CharField()
    remedies = serializers.SerializerMethodField()

    def get_remedies(self, row: drift.Row) -> list[str]:
        return [str(remedy.verb) for remedy in repairs.remedies_for(row.finding)]


class DriftSerializer(serializers.Serializer[Any]):
    """The report as the agent last found it; `error` says why it could not look since."""

    taken_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    problems = serializers.IntegerField()
    rows = DriftRowSerializer(many=True)


class RemedySerializer(serializers.Serializer[Any]):
    """Which row of the report, by its key."""

    key = serializers.CharField(max_length=200)


class ImageSerializer(serializers.Serializer[Any]):
    """One image on a node: `used_by` are containers, `wanted_by` what would make some from it."""

    id = serializers.CharField()
    names = serializers.ListField(child=serializers.CharField())
    size_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField(allow_null=True)
    used_by = serializers.ListField(child=serializers.CharField())
    wanted_by = serializers.ListField(child=serializers.CharField())
    is_unused = serializers.BooleanField()


class ShelfSerializer(serializers.Serializer[Any]):
    """The images of a node as the agent last listed them."""

    taken_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    images = ImageSerializer(many=True)


class PullSerializer(serializers.Serializer[Any]):
    """The image to fetch, by name and tag or digest."""

    image = serializers.CharField(max_length=250)


class RemovalSerializer(serializers.Serializer[Any]):
    """Which images to remove; all that nobody needs when none is named. With `preview` nothing is removed."""

    ids = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=1000)
    preview = serializers.BooleanField(default=False)


class RemovalPreviewSerializer(serializers.Serializer[Any]):
    """What would go; no more than `size_mb` becomes free, because images share layers."""

    images = ImageSerializer(many=True)
    size_mb = serializers.FloatField()


class KeptDataSerializer(serializers.Serializer[Any]):
    """Data of one removed workload; `size_bytes` is null while they are not counted."""

    name = serializers.CharField()
    title = serializers.CharField()
    owner = serializers.CharField(allow_blank=True)
    why = serializers.CharField()
    size_bytes = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField(allow_null=True)
    changed_at = serializers.DateTimeField(allow_null=True)
    deleted_at = serializers.DateTimeField(allow_null=True)


class CellarSerializer(serializers.Serializer[Any]):
    """Data without a live workload, as the agent last found them."""

    taken_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_blank=True)
    kept = KeptDataSerializer(many=True)


class DataRemovalSerializer(serializers.Serializer[Any]):
    """Whose data to delete for good; `confirm` is the node's name. With `preview` nothing is deleted."""

    names = serializers.ListField(child=serializers.CharField(max_length=100), max_length=1000)
    confirm = serializers.CharField(max_length=100, required=False, default="", allow_blank=True)
    preview = serializers.BooleanField(default=False)


class DataRemovalPreviewSerializer(serializers.Serializer[Any]):
    """What would be lost."""

    kept = KeptDataSerializer(many=True)
    size_mb = serializers.FloatField()


class RegistrySerializer(serializers.Serializer[Any]):
    """A registry that the node can log in to; the password is never shown."""

    registry = serializers.CharField(max_length=200)
    username = serializers.CharField(max_length=200)


class RegistryChangeSerializer(RegistrySerializer):
    """Credentials of a registry, in place of those it has."""

    password = serializers.CharField(max_length=4096, write_only=True, trim_whitespace=False)


class UpkeepActions(GenericViewSet[Any]):
    """What `NodeViewSet` can do about one node besides its settings. Requests of work answer 202 with a task."""

    upkeep_verbs: ClassVar[dict[str, str]] = {
        "drift": "nodes.view",
        "look": "nodes.view",
        "mend": "nodes.view",  # each remedy has a right of its own, which its service asks for
        "images": "nodes.view",
        "list_images": "nodes.view",
        "data": "nodes.view",
        "list_data": "nodes.view",
        "registries": "nodes.view",
    }

    @extend_schema(summary="Show the drift report", responses=DriftSerializer)
    @action(detail=True, methods=["get"])
    def drift(self, request: Request, name: str) -> Response:
        report, rows = drift.stored_rows(self.get_object())
        return Response(
            DriftSerializer(
                {
                    "taken_at": report and report.taken_at,
                    "error": report.error if report else "",
                    "problems": sum(row.is_problem for row in rows),
                    "rows": rows,
                }
            ).data
        )

    @extend_schema(summary="Have the agent look again", request=None, responses={202: NodeTaskSerializer})
    @action(detail=True, methods=["post"], url_path="drift/look")
    def look(self, request: Request, name: str) -> Response:
        return _accepted(repairs.ask_look(self.get_object(), actor=request.user))

    @extend_schema(
        summary="Adopt, repair or remove what the report shows",
        parameters=[OpenApiParameter("verb", str, OpenApiParameter.PATH, enum=[str(verb) for verb in REMEDY_VERBS])],
        request=RemedySerializer,
        responses={202: NodeTaskSerializer},
    )
    @action(detail=True, methods=["post"], url_path=f"drift/(?P<verb>{'|'.join(REMEDY_VERBS)})")
    def mend(self, request: Request, name: str, verb: str) -> Response:
        asked = _parsed(RemedySerializer, request)
        return _accepted(repairs.ask_remedy(self.get_object(), actor=request.user, verb=verb, key=asked["key"]))

    @extend_schema(summary="Show the images on a node", responses=ShelfSerializer)
    @action(detail=True, methods=["get"])
    def images(self, request: Request, name: str) -> Response:
        return Response(ShelfSerializer(images.shelf(self.get_object())).data)

    @extend_schema(summary="Have the agent list the images again", request=None, responses={202: NodeTaskSerializer})
    @action(detail=True, methods=["post"], url_path="images/list")
    def list_images(self, request: Request, name: str) -> Response:
        return _accepted(images.ask_list(self.get_object(), actor=request.user))

    @extend_schema(summary="Fetch an image ahead", request=PullSerializer, responses={202: NodeTaskSerializer})
    @action(detail=True, methods=["post"], url_path="images/pull")
    def pull_image(self, request: Request, name: str) -> Response:
        asked = _parsed(PullSerializer, request)
        return _accepted(images.ask_pull(self.get_object(), actor=request.user, image=asked["image"]))

    @extend_schema(
        summary="Remove images that nobody needs, or see which",
        request=RemovalSerializer,
        responses={200: RemovalPreviewSerializer, 202: NodeTaskSerializer},
    )
    @action(detail=True, methods=["post"], url_path="images/remove")
    def remove_images(self, request: Request, name: str) -> Response:
        asked, node = _parsed(RemovalSerializer, request), self.get_object()
        if asked["preview"]:
            require(request.user, "nodes.change", node)
            return Response(RemovalPreviewSerializer(images.preview_removal(node, asked.get("ids"))).data)
        return _accepted(images.ask_removal(node, actor=request.user, ids=asked.get("ids")))

    @extend_schema(summary="Show data that removed workloads have left", responses=CellarSerializer)
    @action(detail=True, methods=["get"])
    def data(self, request: Request, name: str) -> Response:
        return Response(CellarSerializer(kept.cellar(self.get_object())).data)

    @extend_schema(
        summary="Have the agent look for data left behind", request=None, responses={202: NodeTaskSerializer}
    )
    @action(detail=True, methods=["post"], url_path="data/list")
    def list_data(self, request: Request, name: str) -> Response:
        return _accepted(kept.ask_list(self.get_object(), actor=request.user))

    @extend_schema(
        summary="Delete data left behind, or see what would be lost",
        request=DataRemovalSerializer,
        responses={200: DataRemovalPreviewSerializer, 202: NodeTaskSerializer},
    )
    @action(detail=True, methods=["post"], url_path="data/remove")
    def remove_data(self, request: Request, name: str) -> Response:
        asked, node = _parsed(DataRemovalSerializer, request), self.get_object()
        if asked["preview"]:
            require(request.user, "nodes.change", node)
            return Response(DataRemovalPreviewSerializer(kept.preview_removal(node, asked["names"])).data)
        task = kept.ask_removal(node, actor=request.user, names=asked["names"], confirm=asked["confirm"])
        return _accepted(task)

    @extend_schema(summary="List the registries with credentials", responses=RegistrySerializer(many=True))
    @action(detail=True, methods=["get"], pagination_class=None, filterset_class=None)
    def registries(self, request: Request, name: str) -> Response:
        return Response(RegistrySerializer(registry_services.registries_of(self.get_object()), many=True).data)

    @extend_schema(summary="Store credentials of a registry", request=RegistryChangeSerializer, responses={204: None})
    @registries.mapping.put
    def set_registry(self, request: Request, name: str) -> Response:
        asked = _parsed(RegistryChangeSerializer, request)
        registry_services.set_registry(self.get_object(), actor=request.user, **asked)
        return Response(status=204)

    @extend_schema(
        summary="Forget the credentials of a registry",
        parameters=[OpenApiParameter("registry", OpenApiTypes.STR, required=True)],
        responses={204: None},
    )
    @registries.mapping.delete
    def forget_registry(self, request: Request, name: str) -> Response:
        registry = request.query_params.get("registry", "")
        registry_services.forget_registry(self.get_object(), actor=request.user, registry=registry)
        return Response(status=204)


class NodeTaskViewSet(HubViewSet):
    """What agents were asked to do on their machines, newest first."""

    queryset = NodeTask.objects.select_related("node")
    serializer_class = NodeTaskSerializer
    filterset_class = TaskFilter
    verbs: ClassVar[dict[str, str]] = {"*": "nodes.view"}
    ordering_fields = ["created_at", "finished_at"]


def _accepted(task: NodeTask) -> Response:
    return Response(NodeTaskSerializer(task).data, status=202)


def _parsed(serializer: type[serializers.Serializer[Any]], request: Request) -> Any:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return asked.validated_data
