"""Alerts, rules, mutes, channels and deliveries over HTTP: parse, call one service, answer."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse
from hub.api.views import HubViewSet
from hub.exceptions import Invalid
from monitoring.alerts import lists, services
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute
from monitoring.alerts.querysets import watchers

from . import filters
from . import serializers as shapes


class AlertViewSet(HubViewSet):
    """What fires and what has fired."""

    queryset = Alert.objects.select_related("rule", "assignee")
    serializer_class = shapes.AlertSerializer
    filterset_class = filters.AlertFilter
    ordering_fields = orders_of(lists.ALERTS, "fired_at")
    verbs: ClassVar[dict[str, str]] = {"list": "alerts.view", "retrieve": "alerts.view", "*": "alerts.change"}

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """What is of no region is for Operators of regions too, so the queryset and the services say who may."""

    def get_serializer_class(self) -> Any:
        return shapes.AlertDetailSerializer if self.action == "retrieve" else shapes.AlertSerializer

    @extend_schema(
        summary="Say that somebody has seen it; it goes on firing", request=None, responses=shapes.AlertSerializer
    )
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """The first one counts. 409 `alert_over` when it does not fire any more."""
        services.acknowledge_alert(self.get_object(), actor=request.user)
        return self._shown()

    @extend_schema(
        summary="Say whose an alert is, or nobody's", request=shapes.AssignSerializer, responses=shapes.AlertSerializer
    )
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        """To somebody who sees alerts. 409 `alert_over` when it does not fire any more."""
        alert, name = self.get_object(), parse(shapes.AssignSerializer, request)["assignee"]
        who = None if name is None else watchers().filter(username=name).first()
        if name is not None and who is None:
            raise Invalid("There is nobody of this name who sees alerts.", field="assignee")
        services.assign_alert(alert, who, actor=request.user)
        return self._shown()

    @extend_schema(
        summary="Tell nobody of this rule and subject for a while",
        request=shapes.AlertMuteRequestSerializer,
        responses={201: shapes.MuteSerializer},
    )
    @action(detail=True, methods=["post"])
    def mute(self, request: Request, pk: str) -> Response:
        """Answers the mute, which can be ended. 409 `alert_over` when it does not fire any more."""
        asked = parse(shapes.AlertMuteRequestSerializer, request)
        mute = services.mute_alert(self.get_object(), actor=request.user, **asked)
        return Response(shapes.MuteSerializer(mute).data, status=201)

    def _shown(self) -> Response:
        return Response(shapes.AlertSerializer(self.get_object()).data)


class RuleViewSet(HubViewSet):
    """When there is an alert."""

    queryset = AlertRule.objects.all()
    serializer_class = shapes.RuleSerializer
    filterset_class = filters.RuleFilter
    ordering_fields = orders_of(lists.RULES, "created_at")
    lookup_field = "slug"
    lookup_value_regex = r"[-a-zA-Z0-9_]+"
    version_fields = (
        "name",
        "condition",
        "metric",
        "threshold",
        "window_seconds",
        "hold_seconds",
        "cooldown_seconds",
        "severity",
        "scope",
        "scope_value",
        "is_enabled",
    )
    verbs: ClassVar[dict[str, str]] = {"list": "alerts.view", "retrieve": "alerts.view", "*": "alerts.change"}

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Whoever watches reads every rule, those of other regions too."""
        if request.method not in SAFE_METHODS:
            super().check_object_permissions(request, obj)

    @extend_schema(responses={201: shapes.RuleSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        rule = services.create_rule(actor=request.user, **parse(shapes.RuleSerializer, request))
        location = {"Location": f"{request.path}/{rule.slug}"}
        return Response(shapes.RuleSerializer(rule).data, status=201, headers=location)

    @extend_schema(request=shapes.RuleSerializer, responses=shapes.RuleSerializer)
    @conditional
    def partial_update(self, request: Request, slug: str) -> Response:
        """A shipped rule that was changed is left alone by updates. `is_enabled` switches it off and on."""
        rule = self.get_object()
        asked = shapes.RuleSerializer(rule, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        self.shown = services.update_rule(rule, actor=request.user, **asked.validated_data)
        return Response(shapes.RuleSerializer(self.shown).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, slug: str) -> Response:
        """What it fires is over; the history stays. 409 `shipped_rule`: it can only be switched off."""
        services.delete_rule(self.get_object(), actor=request.user)
        return Response(status=204)


class MuteViewSet(HubViewSet):
    """Times in which nobody is told."""

    queryset = Mute.objects.select_related("rule")
    serializer_class = shapes.MuteSerializer
    filterset_class = filters.MuteFilter
    ordering_fields = orders_of(lists.MUTES)
    version_fields = ("rule_id", "scope", "scope_value", "starts_at", "ends_at")
    verbs: ClassVar[dict[str, str]] = {"list": "alerts.view", "retrieve": "alerts.view", "*": "alerts.change"}

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Whoever watches reads every mute; which of them he may end depends on their scope: see the service."""

    @extend_schema(summary="Plan a time in which nobody is told", responses={201: shapes.MuteSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Alerts are kept all the same; what still fires at its end is told then."""
        asked = {"starts_at": timezone.now(), **parse(shapes.MuteSerializer, request)}
        mute = services.create_mute(actor=request.user, **asked)
        location = {"Location": f"{request.path}/{mute.pk}"}
        return Response(shapes.MuteSerializer(mute).data, status=201, headers=location)

    @extend_schema(summary="End a mute: people are told again from now on", responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        services.end_mute(self.get_object(), actor=request.user)
        return Response(status=204)


class ChannelViewSet(HubViewSet):
    """How people are told, and whether it works."""

    queryset = Channel.objects.prefetch_related("rules")
    serializer_class = shapes.ChannelSerializer
    filterset_class = filters.ChannelFilter
    ordering_fields = orders_of(lists.CHANNELS)
    version_fields = ("name", "kind", "target", "least_severity", "is_enabled", "hidden_parts")
    verbs: ClassVar[dict[str, str]] = {"list": "channels.view", "retrieve": "channels.view", "*": "channels.change"}

    @extend_schema(responses={201: shapes.ChannelSerializer})
    @idempotent
    def create(self, request: Request) -> Response:
        """Send `test` to see whether it works."""
        channel = services.create_channel(actor=request.user, **parse(shapes.ChannelSerializer, request))
        location = {"Location": f"{request.path}/{channel.pk}"}
        return Response(shapes.ChannelSerializer(channel).data, status=201, headers=location)

    @extend_schema(request=shapes.ChannelSerializer, responses=shapes.ChannelSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        """What waits is tried again at once. A secret does not follow to a new target: give it again."""
        channel = self.get_object()
        asked = shapes.ChannelSerializer(channel, data=request.data, partial=True)
        asked.is_valid(raise_exception=True)
        self.shown = services.update_channel(channel, actor=request.user, **asked.validated_data)
        return Response(shapes.ChannelSerializer(self.shown).data)

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        """What still waits to be sent through it, and the log of what was sent, go with it."""
        services.delete_channel(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(
        summary="Send a message that says only that it arrives",
        request=None,
        responses={202: shapes.DeliverySerializer},
    )
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Answers the delivery, whose fate can be followed. 409 `channel_off` when it is switched off."""
        delivery = services.try_channel(self.get_object(), actor=request.user)
        return Response(shapes.DeliverySerializer(delivery).data, status=202)


class DeliveryViewSet(HubViewSet):
    """Every message through every channel, and its fate."""

    queryset = Delivery.objects.select_related("channel")
    serializer_class = shapes.DeliverySerializer
    filterset_class = filters.DeliveryFilter
    ordering_fields = orders_of(lists.DELIVERIES)
    verbs: ClassVar[dict[str, str]] = {"list": "channels.view", "retrieve": "channels.view", "*": "channels.change"}

    def get_serializer_class(self) -> Any:
        return shapes.DeliveryDetailSerializer if self.action == "retrieve" else shapes.DeliverySerializer

    @extend_schema(
        summary="Send a message that did not arrive again", request=None, responses={202: shapes.DeliverySerializer}
    )
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """At once, also when its channel rests. 409 `already_sent` when it has arrived."""
        delivery = services.resend_delivery(self.get_object(), actor=request.user)
        return Response(shapes.DeliverySerializer(delivery).data, status=202)
