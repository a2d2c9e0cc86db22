"""Addresses of the API of devices: for people and programs, and the devices' own."""

from django.urls import URLPattern, URLResolver, path

from hub.api.routers import HubRouter

from . import device_views as own
from . import (
    examples,  # noqa: F401 - importing it registers them
    views,
)
from .heartbeat import heartbeat

router = HubRouter()
router.register("devices", views.DeviceViewSet, basename="device")
router.register("device-groups", views.DeviceGroupViewSet, basename="device-group")
router.register("enrolment-tokens", views.EnrolmentTokenViewSet, basename="enrolment-token")
router.register("logs", views.DeviceLogViewSet, basename="device-log")

urlpatterns: list[URLPattern | URLResolver] = [
    path("devices/<uuid:id>/heartbeat", heartbeat, name="device-heartbeat"),
    path("devices/nonce", own.NonceView.as_view(), name="device-nonce"),
    path("devices/register", own.RegisterView.as_view(), name="device-register"),
    path("devices/token", own.TokenView.as_view(), name="device-token"),
    path("devices/self", own.SelfView.as_view(), name="device-self"),
    path("devices/<uuid:id>/key", own.KeyView.as_view(), name="device-key"),
    path("devices/<uuid:id>/logs/batch", own.LogBatchView.as_view(), name="device-log-batch"),
    path("logs/batch", own.LogBatchView.as_view(), name="log-batch"),
    *router.urls,
]
