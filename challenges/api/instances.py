"""Instances over HTTP: parse, call one service, answer. Launching again is no mistake: it answers what there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import django_filters
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from challenges import services
from challenges.instances.ledger import books
from challenges.instances.lists import INSTANCES, find
from challenges.models import DeployRun, Event, Instance, Team
from hub.api.bulk import BulkErrorSerializer, bulk_entry, ids_field
from hub.api.filters import AnyOf, SearchFilterSet, orders_of
from hub.api.openapi import example
from hub.api.shapes import parse, show
from hub.api.views import FIELDS, HubViewSet
from hub.exceptions import Invalid, NotFound
from hub.nodes import leases
from hub.nodes.api.serializers import OperationSerializer
from hub.nodes.choices import AddressState, ObservedStatus

UUID_PATTERN = r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"


class ConnectionSerializer(serializers.Serializer[Any]):
    """How the team reaches one port; `line` is to be copied."""

    name = serializers.CharField()
    protocol = serializers.CharField()
    ip = serializers.CharField()
    port = serializers.IntegerField()
    url = serializers.CharField()
    line = serializers.CharField()


class InstanceSerializer(serializers.ModelSerializer[Instance]):
    """A team's copy of a challenge. No flag is ever here."""

    event = serializers.SlugField(source="event.slug", read_only=True, allow_null=True, default=None)
    challenge = serializers.SlugField(source="challenge.slug", read_only=True)
    team = serializers.CharField(source="team.name", read_only=True)
    node = serializers.CharField(source="node.name", read_only=True)
    status = serializers.ChoiceField(source="observed_status", choices=ObservedStatus.choices, read_only=True)
    place_in_queue = serializers.SerializerMethodField()
    connections = ConnectionSerializer(many=True, read_only=True)
    is_about_to_end = serializers.BooleanField(read_only=True)

    class Meta:
        model = Instance
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "event",
            "challenge",
            "team",
            "node",
            "status",
            "desired_status",
            "status_reason",
            "progress_percent",
            "place_in_queue",
            "connections",
            "expires_at",
            "is_about_to_end",
            "extensions",
            "launched_by",
            "last_extended_by",
            "last_reset_by",
            "last_reset_at",
            "created_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_place_in_queue(self, instance: Instance) -> int | None:
        return leases.place_in_queue(instance.pk) if instance.observed_status == ObservedStatus.QUEUED else None


class LaunchSerializer(serializers.Serializer[Any]):
    """What to launch; organisers may name the team. `force` makes anew what runs."""

    event = serializers.SlugField(max_length=110)
    challenge = serializers.SlugField(max_length=60)
    team = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    force = serializers.BooleanField(default=False)


class TestCopySerializer(serializers.Serializer[Any]):
    """Whose flags it has."""

    team = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class ExtendSerializer(serializers.Serializer[Any]):
    """Without minutes, what the event's rules give."""

    minutes = serializers.IntegerField(min_value=1, max_value=1440, required=False)


class ResetSerializer(serializers.Serializer[Any]):
    """Make all of it anew, or only start its programs again."""

    kind = serializers.ChoiceField(choices=["redeploy", "restart"], default="redeploy")


class StopSerializer(serializers.Serializer[Any]):
    """Whether it is removed, and its address given up."""

    remove = serializers.BooleanField(default=True)


class InstanceAnswerSerializer(serializers.Serializer[Any]):
    """The instance, and the operation that was asked; null when nothing had to be done."""

    instance = InstanceSerializer()
    operation = OperationSerializer(allow_null=True)


class InstanceLogSerializer(serializers.Serializer[Any]):
    """The newest output, flags masked."""

    text = serializers.CharField()
    captured_at = serializers.DateTimeField(allow_null=True)


class InstanceBulkSerializer(serializers.Serializer[Any]):
    """One verb for many instances; minutes belong to extend."""

    verb = serializers.ChoiceField(choices=["extend", "reset", "stop"])
    ids = ids_field(serializers.UUIDField())
    minutes = serializers.IntegerField(min_value=1, max_value=1440, required=False)


class InstanceResultSerializer(serializers.Serializer[Any]):
    """What came of it for one."""

    id = serializers.CharField()
    status = serializers.IntegerField()
    error = BulkErrorSerializer(allow_null=True)


class DeploySerializer(serializers.Serializer[Any]):
    """A challenge for every team of an event; `force` makes anew what runs."""

    event = serializers.SlugField(max_length=110)
    challenge = serializers.SlugField(max_length=60)
    force = serializers.BooleanField(default=False)


class DeployResultSerializer(serializers.Serializer[Any]):
    """What came of it for one team."""

    team = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.IntegerField()
    error = BulkErrorSerializer(allow_null=True)


class DeployRunSerializer(serializers.ModelSerializer[DeployRun]):
    """How far it is; `finished_at` is null while teams wait."""

    event = serializers.SlugField(source="event.slug", read_only=True)
    challenge = serializers.SlugField(source="challenge.slug", read_only=True)
    total = serializers.IntegerField(read_only=True, help_text="Teams.")
    launched = serializers.IntegerField(read_only=True)
    failed = serializers.SerializerMethodField()
    results = DeployResultSerializer(many=True, read_only=True)

    class Meta:
        model = DeployRun
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "event",
            "challenge",
            "is_forced",
            "actor_name",
            "created_at",
            "finished_at",
            "total",
            "launched",
            "failed",
            "results",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_failed(self, run: DeployRun) -> int:
        return len(run.failures)


class KillAllSerializer(serializers.Serializer[Any]):
    """All instances of an event; the phrase is `kill` and the event's slug.

    Without an event: of all events, and all test copies; the phrase is `kill everything`.
    """

    event = serializers.SlugField(max_length=110, required=False)
    phrase = serializers.CharField(max_length=200)


class LedgerLineSerializer(serializers.Serializer[Any]):
    """One address: who has it, or since when it rests and until when."""

    ip = serializers.CharField(source="address.ip")
    state = serializers.ChoiceField(source="address.state", choices=AddressState.choices)
    reason = serializers.CharField(source="address.reason")
    leased_at = serializers.DateTimeField(source="address.leased_at", allow_null=True)
    rest_until = serializers.DateTimeField(source="address.rest_until", allow_null=True)
    team = serializers.CharField()
    instances = serializers.ListField(child=serializers.UUIDField(), source="instance_ids")


class LedgerSerializer(serializers.Serializer[Any]):
    """The load-balancer addresses of one node, counted by state, each with who has it, and who waits, in order."""

    node = serializers.CharField(source="node.name")
    free = serializers.IntegerField(source="counts.free")
    leased = serializers.IntegerField(source="counts.leased")
    quarantined = serializers.IntegerField(source="counts.quarantined")
    blocked = serializers.IntegerField(source="counts.blocked")
    waiting = serializers.IntegerField(source="counts.waiting")
    addresses = LedgerLineSerializer(source="lines", many=True)
    queue = serializers.ListField(child=serializers.UUIDField(), source="queue_ids")


class InstanceFilter(SearchFilterSet):
    """Instances by team, challenge or id, and by event, node and state."""

    find = staticmethod(find)
    status = django_filters.MultipleChoiceFilter(field_name="observed_status", choices=ObservedStatus.choices)
    event = AnyOf(field_name="event__slug")
    challenge = AnyOf(field_name="challenge__slug")
    node = AnyOf(field_name="node__name")

    class Meta:
        model = Instance
        fields: tuple[str, ...] = ()


@extend_schema_view(
    list=extend_schema(summary="List instances", parameters=[FIELDS]),
    retrieve=extend_schema(summary="Show an instance"),
)
class InstanceViewSet(HubViewSet):
    """Teams' own copies of challenges."""

    queryset = Instance.objects.all()
    serializer_class = InstanceSerializer
    filterset_class = InstanceFilter
    ordering_fields = orders_of(INSTANCES)
    ordering = ("-created_at",)
    lookup_value_regex = UUID_PATTERN
    version_fields = ("generation", "desired_status", "observed_status", "expires_at")
    verbs: ClassVar[dict[str, str]] = {
        "list": "instances.view",
        "retrieve": "instances.view",
        "log": "instances.view",
        "create": "instances.create",
        "extend": "instances.extend",
        "deploy": "events.change",
        "deploy_run": "events.change",
        "kill_all": "events.change",
        "ledger": "addresses.view",
        "*": "instances.control",
    }

    def get_queryset(self) -> Any:
        rows: Any = super().get_queryset()
        return rows.alive().with_details()

    @extend_schema(
        summary="Launch an instance, or be told of the one there is",
        request=LaunchSerializer,
        responses={200: InstanceAnswerSerializer, 201: InstanceAnswerSerializer},
    )
    def create(self, request: Request) -> Response:
        asked = parse(LaunchSerializer, request)
        event, team = _event(request, asked["event"]), None
        if "team" in asked:
            team = Team.objects.visible_to(request.user).filter(pk=asked["team"]).first()
            if team is None:
                raise Invalid("There is no such team.", field="team")
        with _named("challenge"):
            launched = services.launch_instance(
                event, asked["challenge"], actor=request.user, team=team, force=asked["force"]
            )
        code = status.HTTP_201_CREATED if launched.is_new else status.HTTP_200_OK
        return self._answer(request, launched.instance, launched.operation, code)

    @extend_schema(summary="Give it more time", request=ExtendSerializer, responses=InstanceSerializer)
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: str) -> Response:
        asked = parse(ExtendSerializer, request)
        instance = services.extend_instance(self.get_object(), actor=request.user, **asked)
        return Response(show(InstanceSerializer, instance, request))

    @extend_schema(
        summary="Begin it anew with the same flag, address and time left",
        request=ResetSerializer,
        responses={202: InstanceAnswerSerializer},
    )
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, pk: str) -> Response:
        asked = parse(ResetSerializer, request)
        instance = self.get_object()
        operation = services.reset_instance(instance, actor=request.user, **asked)
        return self._answer(request, self.get_object(), operation, status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="End it, with or without giving up its address",
        request=StopSerializer,
        responses={200: InstanceAnswerSerializer, 202: InstanceAnswerSerializer},
    )
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        operation = services.stop_instance(self.get_object(), actor=request.user, **parse(StopSerializer, request))
        code = status.HTTP_202_ACCEPTED if operation else status.HTTP_200_OK
        return self._answer(request, self.get_object(), operation, code)

    @extend_schema(summary="Read its newest output, flags masked", responses=InstanceLogSerializer)
    @action(detail=True, methods=["get"])
    def log(self, request: Request, pk: str) -> Response:
        return Response(InstanceLogSerializer(services.read_log(self.get_object(), actor=request.user)).data)

    @extend_schema(
        summary="One verb for many instances, with a result for each",
        request=InstanceBulkSerializer,
        responses=InstanceResultSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def bulk(self, request: Request) -> Response:
        asked = parse(InstanceBulkSerializer, request)
        results = services.act_on_many(asked["ids"], asked["verb"], actor=request.user, minutes=asked.get("minutes"))
        return Response(InstanceResultSerializer([bulk_entry(one, status=202) for one in results], many=True).data)

    @extend_schema(
        summary="Launch a challenge for every team of an event",
        request=DeploySerializer,
        responses={202: DeployRunSerializer},
        filters=False,
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def deploy(self, request: Request) -> Response:
        """A worker does it; `/instances/deploys/{run}` tells how far it is and what came of each team."""
        asked = parse(DeploySerializer, request)
        event = _event(request, asked["event"])
        with _named("challenge"):
            run = services.deploy_for_all(event, asked["challenge"], actor=request.user, force=asked["force"])
        where = f"{request.path}s/{run.pk}"
        return Response(DeployRunSerializer(run).data, status=status.HTTP_202_ACCEPTED, headers={"Location": where})

    @extend_schema(
        summary="How far the launch for every team is",
        parameters=[OpenApiParameter("run", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        responses=DeployRunSerializer,
        filters=False,
    )
    @action(detail=False, methods=["get"], url_path=f"deploys/(?P<run>{UUID_PATTERN})", pagination_class=None)
    def deploy_run(self, request: Request, run: str) -> Response:
        rows = DeployRun.objects.visible_to(request.user).select_related("event", "challenge")
        return Response(DeployRunSerializer(get_object_or_404(rows, pk=run)).data)

    @extend_schema(
        summary="End all instances of an event, or of all events, at once",
        request=KillAllSerializer,
        responses=InstanceResultSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="kill-all", pagination_class=None)
    def kill_all(self, request: Request) -> Response:
        """One entry for each that ran: 202 where it was asked to end, else why it could not be."""
        asked = parse(KillAllSerializer, request)
        event = _event(request, asked["event"]) if "event" in asked else None
        results = services.kill_all(event, actor=request.user, phrase=asked["phrase"])
        return Response(InstanceResultSerializer([bulk_entry(one, status=202) for one in results], many=True).data)

    @extend_schema(
        summary="Which addresses are free, leased and resting, who has them and who waits",
        responses=LedgerSerializer(many=True),
        filters=False,
    )
    @action(detail=False, methods=["get"], pagination_class=None)
    def ledger(self, request: Request) -> Response:
        return Response(LedgerSerializer(books(request.user), many=True).data)

    def _answer(self, request: Request, instance: Instance, operation: Any, code: int) -> Response:
        answer = {"instance": instance, "operation": operation}
        return Response(show(InstanceAnswerSerializer, answer, request), status=code)


def _event(request: Request, slug: str) -> Event:
    event: Event | None = Event.objects.visible_to(request.user).filter(slug=slug).first()
    if event is None:
        raise Invalid("There is no such event.", field="event")
    return event


@contextmanager
def _named(field: str) -> Iterator[None]:
    """What a body names and is not there is the body's fault: 404 is for what the address names."""
    try:
        yield
    except NotFound as error:
        raise Invalid(error.message, field=field) from None


example(LaunchSerializer, "A challenge of an event", {"event": "spring-ctf", "challenge": "cookie-jar"})
example(TestCopySerializer, "As a team", {"team": 7})
example(ExtendSerializer, "As an organiser", {"minutes": 30})
example(ResetSerializer, "All anew", {"kind": "redeploy"})
example(StopSerializer, "Keep the address", {"remove": False})
example(InstanceBulkSerializer, "Stop one", {"verb": "stop", "ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]})
example(DeploySerializer, "For every team", {"event": "spring-ctf", "challenge": "cookie-jar"})
example(KillAllSerializer, "With its phrase", {"event": "spring-ctf", "phrase": "kill spring-ctf"})
