"""Errors over HTTP: by class, source and state, each with the latest requests and jobs that ended so."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.filters import AnyOf, SearchFilterSet, orders_of
from hub.api.views import HubViewSet

from . import lists, services
from .models import ErrorGroup, ErrorReport

LATEST = 100


class ErrorFilter(SearchFilterSet):
    """By class, source, whether resolved, and time."""

    find = staticmethod(lists.find_error)
    error_type = AnyOf()
    source = django_filters.MultipleChoiceFilter(choices=ErrorGroup.Source.choices)
    is_resolved = django_filters.BooleanFilter(field_name="resolved_at", lookup_expr="isnull", exclude=True)
    since = django_filters.IsoDateTimeFilter(field_name="last_seen_at", lookup_expr="gte")

    class Meta:
        model = ErrorGroup
        fields: tuple[str, ...] = ()


class ErrorReportSerializer(serializers.ModelSerializer[ErrorReport]):
    """One error."""

    class Meta:
        model = ErrorReport
        fields = ["at", "message", "place", "request_id", "job_id", "user"]
        read_only_fields = fields


class ErrorSerializer(serializers.ModelSerializer[ErrorGroup]):
    """Errors of one class in one place."""

    class Meta:
        model = ErrorGroup
        fields = [
            "id",
            "error_type",
            "source",
            "place",
            "message",
            "count",
            "first_seen_at",
            "last_seen_at",
            "version",
            "resolved_at",
        ]
        read_only_fields = fields


class ErrorDetailSerializer(ErrorSerializer):
    """With its traceback and the latest hundred single errors."""

    reports = serializers.SerializerMethodField()

    class Meta(ErrorSerializer.Meta):
        fields = [*ErrorSerializer.Meta.fields, "traceback", "reports"]
        read_only_fields = fields

    @extend_schema_field(ErrorReportSerializer(many=True))
    def get_reports(self, group: ErrorGroup) -> Any:
        return ErrorReportSerializer(group.reports.all()[:LATEST], many=True).data


class ErrorViewSet(HubViewSet):
    """Unhandled errors of web and jobs, grouped."""

    queryset = ErrorGroup.objects.all()
    serializer_class = ErrorSerializer
    filterset_class = ErrorFilter
    verbs: ClassVar[dict[str, str]] = {"resolve": "errors.change", "*": "errors.view"}
    ordering_fields = orders_of(lists.ERRORS)

    def get_serializer_class(self) -> Any:
        return ErrorDetailSerializer if self.action == "retrieve" else ErrorSerializer

    @extend_schema(summary="Say that an error is dealt with", request=None, responses=ErrorSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        group = self.get_object()
        services.resolve_error(group, actor=request.user)
        return Response(ErrorSerializer(group).data)
