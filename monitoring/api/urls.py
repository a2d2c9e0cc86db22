"""Routes below /api/v1/."""

from __future__ import annotations

from django.urls import path

from hub.api.routers import HubRouter
from monitoring.errors.api import ErrorViewSet

from . import (
    examples,  # noqa: F401 - importing it registers them
    views,
)

router = HubRouter()
router.register("errors", ErrorViewSet, basename="error")

urlpatterns = [
    *router.urls,
    path("metrics/series", views.SeriesView.as_view(), name="metrics-series"),
    path("metrics/query", views.QueryView.as_view(), name="metrics-query"),
    path("metrics/sample", views.MeasureView.as_view(), name="metrics-sample"),
    path("metrics/samples", views.SamplesView.as_view(), name="metrics-samples"),
]
