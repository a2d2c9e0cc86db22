"""Metrics over HTTP: what there is, ranges in buckets, and samples that others send."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import require
from hub import retention
from hub.api.csv import CsvRenderer
from hub.api.throttles import ThrottledView
from monitoring import presentation, query, services, subjects

from . import serializers as shapes


class SeriesView(ThrottledView):
    """Which metrics there are of which subjects."""

    @extend_schema(
        summary="Metrics that are measured of subjects",
        parameters=[shapes.SubjectsSerializer],
        responses={200: shapes.SeriesSerializer(many=True), 404: None},
    )
    def get(self, request: Request) -> Response:
        require(request.user, "metrics.view")
        asked = shapes.SubjectsSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        found = [subjects.one(request.user, key) for key in dict.fromkeys(asked.validated_data["subject"])]
        metrics = query.metrics_of([subject.key for subject in found])
        rows = [{"subject": each.key, "name": each.name, "metrics": metrics.get(each.key, [])} for each in found]
        return Response(shapes.SeriesSerializer(rows, many=True).data)


class QueryView(ThrottledView):
    """Ranges of several subjects and metrics, in at most the asked number of buckets."""

    renderer_classes = [JSONRenderer, CsvRenderer]

    @extend_schema(
        summary="Measurements in buckets with least, mean and greatest",
        parameters=[shapes.QuerySerializer],
        responses={200: shapes.AnswerSerializer, 404: None},
    )
    def get(self, request: Request) -> Response:
        require(request.user, "metrics.view")
        asked = shapes.QuerySerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        is_csv = getattr(request.accepted_renderer, "format", "") == "csv"
        found = presentation.ask(
            request.user,
            values["subject"],
            values["metric"],
            start=values.get("from"),
            end=values.get("to"),
            points=values["points"],
            step=values.get("step"),
        )
        if not is_csv:
            return Response(presentation.as_json(found))
        response = Response(presentation.as_rows(found))
        response["Content-Disposition"] = 'attachment; filename="metrics.csv"'
        return response


class MeasureView(ThrottledView):
    """Measure now."""

    @extend_schema(
        summary="Have a node's agent measure now",
        request=shapes.MeasureSerializer,
        responses={202: shapes.MeasuredSerializer, 404: None},
    )
    def post(self, request: Request) -> Response:
        asked = shapes.MeasureSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.measure_node(asked.validated_data["node"], actor=request.user)
        return Response({"detail": "The node's agent measures now."}, status=202)


class SamplesView(ThrottledView):
    """Samples that others have measured."""

    @extend_schema(
        summary="Store what was measured elsewhere",
        request=shapes.SamplesSerializer,
        responses={201: shapes.StoredSerializer, 404: None},
    )
    def post(self, request: Request) -> Response:
        asked = shapes.SamplesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = asked.validated_data
        stored = services.store_samples(values["subject"], values["samples"], actor=request.user)
        return Response({"stored": stored}, status=201)


class RetentionView(ThrottledView):
    """What is kept for how long."""

    @extend_schema(
        summary="Say what is kept for how long, what would go now and what went last",
        responses=shapes.RetentionSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        require(request.user, "settings.view")
        last = retention.last_runs()
        rows = [
            {
                "name": rule.name,
                "what": rule.label,
                "keeps": rule.keeps(),
                "would_go": rule.preview(),
                "last_run": last.get(rule.name),
            }
            for rule in retention.rules()
        ]
        return Response(shapes.RetentionSerializer(rows, many=True).data)
