"""Routes below /api/v1/."""

from __future__ import annotations

from django.urls import path

from hub.api.routers import HubRouter
from monitoring.alerts.api import examples as alert_examples  # noqa: F401 - importing it registers them
from monitoring.alerts.api import views as alerts
from monitoring.errors.api import ErrorViewSet

from . import (
    examples,  # noqa: F401 - importing it registers them
    views,
)

router = HubRouter()
router.register("errors", ErrorViewSet, basename="error")
router.register("alerts", alerts.AlertViewSet, basename="alert")
router.register("alert-rules", alerts.RuleViewSet, basename="alert-rule")
router.register("alert-mutes", alerts.MuteViewSet, basename="alert-mute")
router.register("channels", alerts.ChannelViewSet, basename="channel")
router.register("deliveries", alerts.DeliveryViewSet, basename="delivery")

urlpatterns = [
    *router.urls,
    path("metrics/series", views.SeriesView.as_view(), name="metrics-series"),
    path("metrics/query", views.QueryView.as_view(), name="metrics-query"),
    path("metrics/sample", views.MeasureView.as_view(), name="metrics-sample"),
    path("retention", views.RetentionView.as_view(), name="retention"),
    path("metrics/samples", views.SamplesView.as_view(), name="metrics-samples"),
]
