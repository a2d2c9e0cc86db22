"""Addresses of the API of devices: for people and programs, and the devices' own."""

from django.urls import URLPattern, URLResolver, path

from hub.api.routers import HubRouter

from . import bundle_views as bundles
from . import command_views as commands
from . import config_views as config
from . import device_views as own
from . import (
    examples,  # noqa: F401 - importing it registers them
    views,
)
from . import work_views as work
from .heartbeat import heartbeat

router = HubRouter()
router.register("devices", views.DeviceViewSet, basename="device")
router.register("device-groups", views.DeviceGroupViewSet, basename="device-group")
router.register("enrolment-tokens", views.EnrolmentTokenViewSet, basename="enrolment-token")
router.register("bundles", bundles.BundleViewSet, basename="bundle")
router.register("publisher-keys", bundles.PublisherViewSet, basename="publisher-key")
router.register("deployments", bundles.DeploymentViewSet, basename="deployment")
router.register("device-commands", commands.CommandViewSet, basename="device-command")
router.register("logs", views.DeviceLogViewSet, basename="device-log")

urlpatterns: list[URLPattern | URLResolver] = [
    path("devices/<uuid:id>/heartbeat", heartbeat, name="device-heartbeat"),
    path("devices/nonce", own.NonceView.as_view(), name="device-nonce"),
    path("devices/register", own.RegisterView.as_view(), name="device-register"),
    path("devices/token", own.TokenView.as_view(), name="device-token"),
    path("devices/self", own.SelfView.as_view(), name="device-self"),
    path("devices/<uuid:id>/key", own.KeyView.as_view(), name="device-key"),
    path("devices/<uuid:id>/logs/batch", own.LogBatchView.as_view(), name="device-log-batch"),
    path("devices/<uuid:id>/sealing-key", work.SealingKeyView.as_view(), name="device-sealing-key"),
    path("devices/<uuid:id>/config/applied", work.AppliedView.as_view(), name="device-config-applied"),
    path(
        "devices/<uuid:id>/commands/<uuid:command>",
        commands.CommandResultView.as_view(),
        name="device-command-result",
    ),
    path("devices/rollback/preview", bundles.RollbackPreviewView.as_view(), name="device-rollback-preview"),
    path("devices/rollback", bundles.RollbackView.as_view(), name="device-rollback"),
    path(
        "devices/<uuid:pk>/config",
        config.DeviceConfigViewSet.as_view({"get": "config", "put": "set_config"}, detail=True),
        name="device-config",
    ),
    path(
        "devices/<uuid:pk>/config/history",
        config.DeviceConfigViewSet.as_view({"get": "config_history"}, detail=True),
        name="device-config-history",
    ),
    path(
        "devices/<uuid:pk>/config/rollback",
        config.DeviceConfigViewSet.as_view({"post": "rollback_config"}, detail=True),
        name="device-config-rollback",
    ),
    path(
        "devices/<uuid:pk>/bundle-history",
        config.DeviceConfigViewSet.as_view({"get": "bundle_history"}, detail=True),
        name="device-bundle-history",
    ),
    path(
        "devices/<uuid:pk>/why-not",
        config.DeviceConfigViewSet.as_view({"get": "why_not"}, detail=True),
        name="device-why-not",
    ),
    path(
        "device-groups/<slug:slug>/config",
        config.GroupConfigViewSet.as_view({"get": "config", "put": "set_config"}, detail=True),
        name="device-group-config",
    ),
    path(
        "device-groups/<slug:slug>/config/history",
        config.GroupConfigViewSet.as_view({"get": "config_history"}, detail=True),
        name="device-group-config-history",
    ),
    path(
        "device-groups/<slug:slug>/config/rollback",
        config.GroupConfigViewSet.as_view({"post": "rollback_config"}, detail=True),
        name="device-group-config-rollback",
    ),
    path("deployments/<uuid:deployment>/work", work.WorkView.as_view(), name="deployment-work"),
    path("deployments/<uuid:deployment>/file", work.work_file, name="deployment-file"),
    path("deployments/<uuid:deployment>/result", work.ResultView.as_view(), name="deployment-result"),
    path("logs/batch", own.LogBatchView.as_view(), name="log-batch"),
    *router.urls,
]
