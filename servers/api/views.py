"""Servers and templates over HTTP: parse, call one service, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.models import User
from hub.api.bulk import bulk_entry
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse, show
from hub.api.views import FIELDS, HubViewSet
from hub.exceptions import Invalid
from hub.nodes.api.filters import OperationFilter
from hub.nodes.api.serializers import OperationSerializer
from hub.nodes.lists import OPERATIONS
from hub.nodes.models import Operation
from servers import services
from servers.listed import ListedServer, listed_columns
from servers.lists import SERVERS, TEMPLATES
from servers.models import GameServer, Template
from servers.offers import find_offer

from . import filters
from .console import ConsoleActions
from .serializers import (
    CredentialsSerializer,
    LogSerializer,
    MovePortSerializer,
    PowerAnswerSerializer,
    PreviewSerializer,
    PublishPortSerializer,
    ServerBulkResultSerializer,
    ServerBulkSerializer,
    ServerCreateSerializer,
    ServerDetailSerializer,
    ServerPreviewRequestSerializer,
    ServerSerializer,
    ServerSuspensionSerializer,
    ServerUpdateSerializer,
    TemplateDefinitionSerializer,
    TemplateSerializer,
    TrialSerializer,
)

LIMITS = ("memory_mb", "disk_mb", "cpu_percent")
LATEST_TRIALS = 20
OPERATION_ORDERS = orders_of(OPERATIONS, "finished_at")
UUID_PATTERN = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
power = extend_schema(request=None, responses={200: PowerAnswerSerializer, 202: PowerAnswerSerializer})


@extend_schema_view(
    list=extend_schema(summary="List servers", parameters=[FIELDS]),
    retrieve=extend_schema(summary="Show a server"),
)
class ServerViewSet(ConsoleActions, HubViewSet):
    """Game servers. Powers answer 202 with an operation to follow, or 200 when nothing had to be done."""

    queryset = GameServer.objects.all()
    serializer_class = ServerSerializer
    filterset_class = filters.ServerFilter
    ordering_fields = orders_of(SERVERS)
    list_actions = frozenset({"list", "operations"})
    ordering = ("-created_at",)
    lookup_value_regex = UUID_PATTERN
    version_fields = (
        "name",
        "description",
        *LIMITS,
        "config_version",
        "published_ports",
        "admin_state",
        "owner_id",
    )
    verbs: ClassVar[dict[str, str]] = {
        "list": "servers.view",
        "retrieve": "servers.view",
        "operations": "servers.view",
        "bulk": "servers.view",  # the service asks for the right to the verb
        "create": "servers.create",
        "preview": "servers.create",
        "partial_update": "servers.change",
        "move_port": "servers.change",
        "publish_port": "servers.change",
        "unpublish_port": "servers.change",
        "destroy": "servers.delete",
        "log": "servers.console",
        "command": "servers.console",
        "reveal_credentials": "servers.reveal",
        "rotate_credentials": "servers.reveal",
        "suspend": "servers.suspend",
        "unsuspend": "servers.suspend",
        "*": "servers.control",
    }

    def get_queryset(self) -> QuerySet[Any]:
        if self.action == "operations":
            one = GameServer.objects.visible_to(self.request.user).filter(pk=self.kwargs.get("pk"))
            return Operation.objects.filter(workload_id__in=one.values("pk")).select_related("node")
        servers: Any = super().get_queryset()
        servers = servers.alive()
        return servers.with_details().prefetch_related("template__variables") if self.detail else servers

    def list(self, request: Request) -> Response:
        """Plain rows instead of models; what is shown of them is the same, see `ListedServer`."""
        paginator: Any = self.paginator
        rows = paginator.fetch(request, lambda: self.filter_queryset(self.get_queryset()), listed_columns)
        return self.get_paginated_response(self.get_serializer(list(map(ListedServer, rows)), many=True).data)

    def lock(self, row: Any) -> None:
        services.lock_for_change(row)

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        if self.action == "operations":
            return OperationSerializer
        return ServerDetailSerializer if self.action == "retrieve" else ServerSerializer

    @extend_schema(summary="Create a server", request=ServerCreateSerializer, responses={201: ServerDetailSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        asked = parse(ServerCreateSerializer, request)
        server = services.create_server(actor=_asker(request), **_resolved(asked, _asker(request)))
        answer = show(ServerDetailSerializer, server, request)
        return Response(answer, status=status.HTTP_201_CREATED, headers={"Location": f"{request.path}/{server.pk}"})

    @extend_schema(
        summary="See where a server would be", request=ServerPreviewRequestSerializer, responses=PreviewSerializer
    )
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        asked = parse(ServerPreviewRequestSerializer, request)
        preview = services.preview_server(actor=_asker(request), **_resolved(asked, _asker(request)))
        return Response(PreviewSerializer(preview).data)

    @extend_schema(
        summary="Change name, settings or limits", request=ServerUpdateSerializer, responses=ServerDetailSerializer
    )
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        asked, server, actor = parse(ServerUpdateSerializer, request), self.get_object(), _asker(request)
        with transaction.atomic():
            if limits := {name: asked[name] for name in LIMITS if name in asked}:
                services.resize_server(server, actor=actor, **limits)
            if "values" in asked:
                services.update_variables(server, actor=actor, values=asked["values"])
            if texts := {name: asked[name] for name in ("name", "description") if name in asked}:
                services.rename_server(server, actor=actor, **texts)
        return self._detail(request, pk)

    @extend_schema(summary="Delete a server and its data", responses={202: PowerAnswerSerializer})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        return self._power(request, services.delete_server)

    @extend_schema(
        summary="One verb for many servers, with a result for each",
        request=ServerBulkSerializer,
        responses=ServerBulkResultSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        asked = parse(ServerBulkSerializer, request)
        results = services.ask_many(asked["ids"], asked["verb"], actor=_asker(request))
        rows = [bulk_entry(each, status=202 if each.value else 200, operation=each.value) for each in results]
        return Response(ServerBulkResultSerializer(rows, many=True).data)

    @power
    @extend_schema(summary="Start a server")
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        return self._power(request, services.start_server)

    @power
    @extend_schema(summary="Stop a server in its own way")
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        return self._power(request, services.stop_server)

    @power
    @extend_schema(summary="Stop a server and start it with its present settings")
    @action(detail=True, methods=["post"])
    def restart(self, request: Request, pk: str) -> Response:
        return self._power(request, services.restart_server)

    @power
    @extend_schema(summary="End a server at once; what it has not saved is lost")
    @action(detail=True, methods=["post"])
    def kill(self, request: Request, pk: str) -> Response:
        return self._power(request, services.kill_server)

    @extend_schema(
        summary="Give up an address and take another",
        request=MovePortSerializer,
        responses={200: PowerAnswerSerializer, 202: PowerAnswerSerializer},
    )
    @action(detail=True, methods=["post"], url_path="move-port")
    def move_port(self, request: Request, pk: str) -> Response:
        return self._power(request, services.move_port, **parse(MovePortSerializer, request))

    @extend_schema(
        summary="Open a private port to everybody",
        request=PublishPortSerializer,
        responses={200: PowerAnswerSerializer, 202: PowerAnswerSerializer},
    )
    @action(detail=True, methods=["post"], url_path="publish-port")
    def publish_port(self, request: Request, pk: str) -> Response:
        return self._power(request, services.publish_port, **parse(PublishPortSerializer, request))

    @extend_schema(
        summary="Withdraw a published port",
        request=PublishPortSerializer,
        responses={200: PowerAnswerSerializer, 202: PowerAnswerSerializer},
    )
    @action(detail=True, methods=["post"], url_path="unpublish-port")
    def unpublish_port(self, request: Request, pk: str) -> Response:
        return self._power(request, services.unpublish_port, **parse(PublishPortSerializer, request))

    @extend_schema(
        summary="Suspend a server",
        request=ServerSuspensionSerializer,
        responses={200: PowerAnswerSerializer, 202: PowerAnswerSerializer},
    )
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        return self._power(request, services.suspend_server, **parse(ServerSuspensionSerializer, request))

    @extend_schema(summary="Lift a suspension", request=None, responses=ServerDetailSerializer)
    @action(detail=True, methods=["post"])
    def unsuspend(self, request: Request, pk: str) -> Response:
        services.unsuspend_server(self.get_object(), actor=_asker(request))
        return self._detail(request, pk)

    @extend_schema(summary="Show the passwords; each look is audited", request=None, responses=CredentialsSerializer)
    @action(detail=True, methods=["post"], url_path="reveal-credentials")
    def reveal_credentials(self, request: Request, pk: str) -> Response:
        return _private(services.reveal_credentials(self.get_object(), actor=_asker(request)))

    @extend_schema(summary="Make the passwords new", request=None, responses=ServerDetailSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-credentials")
    def rotate_credentials(self, request: Request, pk: str) -> Response:
        services.rotate_credentials(self.get_object(), actor=_asker(request))
        return self._detail(request, pk)

    @extend_schema(summary="Read the newest output", responses=LogSerializer)
    @action(detail=True, methods=["get"])
    def log(self, request: Request, pk: str) -> Response:
        return Response(LogSerializer(services.read_log(self.get_object(), actor=_asker(request))).data)

    @extend_schema(
        summary="What was asked of a server, newest first",
        responses=OperationSerializer(many=True),
        parameters=[FIELDS],
        filters=True,
    )
    @action(
        detail=True,
        methods=["get"],
        queryset=Operation.objects.all(),
        serializer_class=OperationSerializer,
        filterset_class=OperationFilter,
        ordering_fields=OPERATION_ORDERS,
        ordering=("-created_at",),
    )
    def operations(self, request: Request, pk: str) -> Response:
        get_object_or_404(GameServer.objects.visible_to(request.user).alive(), pk=pk)
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def _power(self, request: Request, service: Callable[..., Operation | None], **asked: Any) -> Response:
        server: GameServer = self.get_object()
        operation = service(server, actor=_asker(request), **asked)
        answer = show(PowerAnswerSerializer, {"server": server, "operation": operation}, request)
        return Response(answer, status=status.HTTP_202_ACCEPTED if operation else status.HTTP_200_OK)

    def _detail(self, request: Request, pk: str) -> Response:
        return Response(show(ServerDetailSerializer, self.get_object(), request))


@extend_schema_view(
    list=extend_schema(summary="List the catalogue", auth=[]),
    retrieve=extend_schema(summary="Show a template", auth=[]),
)
class TemplateViewSet(HubViewSet):
    """The public catalogue: what servers can be made from. Writing it is for those who may."""

    queryset = Template.objects.prefetch_related("variables")
    serializer_class = TemplateSerializer
    filterset_class = filters.TemplateFilter
    ordering_fields = orders_of(TEMPLATES)
    ordering = ("name",)
    lookup_field = "slug"
    lookup_value_regex = r"[-a-zA-Z0-9_]+"
    version_fields = ("updated_at",)
    verbs: ClassVar[dict[str, str]] = {"list": "templates.view", "retrieve": "templates.view", "*": "templates.change"}

    def get_permissions(self) -> list[BasePermission]:
        if self.action in ("list", "retrieve"):
            return [AllowAny()]
        return super().get_permissions()  # type: ignore[return-value]  # DRF's own instances

    @extend_schema(
        summary="Make a template",
        request=TemplateDefinitionSerializer,
        responses={201: TemplateDefinitionSerializer},
    )
    def create(self, request: Request) -> Response:
        template = services.create_template(actor=_asker(request), **parse(TemplateDefinitionSerializer, request))
        return Response(TemplateDefinitionSerializer(template).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Change a template", request=TemplateDefinitionSerializer, responses=TemplateDefinitionSerializer
    )
    @conditional
    def partial_update(self, request: Request, slug: str) -> Response:
        template: Template = self.get_object()
        asked = TemplateDefinitionSerializer(template, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        self.shown = services.update_template(template, actor=_asker(request), **asked.validated_data)
        return Response(TemplateDefinitionSerializer(self.shown).data)

    @extend_schema(summary="Remove a template that was never used", responses={204: None})
    @conditional
    def destroy(self, request: Request, slug: str) -> Response:
        services.delete_template(self.get_object(), actor=_asker(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Start a short-lived server of a template to see whether it becomes ready",
        request=None,
        responses={202: TrialSerializer},
    )
    @action(detail=True, methods=["post"], url_path="try")
    def try_it(self, request: Request, slug: str) -> Response:
        trial = services.try_template(self.get_object(), actor=_asker(request))
        return Response(TrialSerializer(trial).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="What came of the latest trials, newest first", responses=TrialSerializer(many=True), filters=False
    )
    @action(detail=True, methods=["get"], pagination_class=None)
    def trials(self, request: Request, slug: str) -> Response:
        latest = self.get_object().trials.select_related("template")[:LATEST_TRIALS]
        return Response(TrialSerializer(latest, many=True).data)

    @extend_schema(summary="Show all of a template", responses=TemplateDefinitionSerializer)
    @action(detail=True, methods=["get"])
    def definition(self, request: Request, slug: str) -> Response:
        return Response(TemplateDefinitionSerializer(self.get_object()).data)


def _asker(request: Request) -> User:
    user = request.user
    if isinstance(user, AnonymousUser):  # the view's permission classes let nobody anonymous come here
        raise TypeError("an authenticated request is needed")
    return user


def _resolved(asked: dict[str, Any], asker: User) -> dict[str, Any]:
    """Names as the rows that services take; limits that are missing as the template has them."""
    slug = asked.get("region") or asker.region_preference
    template, region = find_offer(asked["template"], slug, asker=asker)
    if template is None:
        raise Invalid("There is no such template.", field="template")
    if region is None:
        raise Invalid("There is no such region." if slug else "A region is needed.", field="region")
    limits = {name: asked.get(name, getattr(template, f"default_{name}")) for name in LIMITS}
    owner = _owner(asked["owner"], asker) if "owner" in asked else None
    return {**asked, **limits, "template": template, "region": region, "owner": owner}


def _owner(username: str, asker: User) -> User:
    """Whose it is to be. Whether the asker may is for the service; here he learns no stranger's name."""
    if username == asker.username:
        return asker
    found = User.objects.visible_to(asker).filter(username=username).first()
    if found is None:
        raise Invalid("There is no such user.", field="owner")
    return found


def _private(credentials: services.Credentials) -> Response:
    return Response(CredentialsSerializer(credentials).data, headers={"Cache-Control": "no-store"})
