"""Devices in the admin site: rows to look at, and the queue's decisions for many at once."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin

from .bundles import admin as bundles_admin  # noqa: F401 - importing it registers them
from .configuration import admin as configuration_admin  # noqa: F401 - likewise
from .deployments import admin as deployments_admin  # noqa: F401 - likewise
from .manual import admin as manual_admin  # noqa: F401 - likewise
from .models import Device, DeviceBeat, DeviceGroup, DeviceKey, DeviceLog, EnrolmentToken


@admin.register(Device)
class DeviceAdmin(ReadOnlyAdmin[Device]):
    """Devices with all their facts; made by enrolment and changed on their pages."""

    list_display = ["name", "number", "status", "region", "device_type", "registered_at"]
    list_filter = ["status", "device_type", "region"]
    list_select_related = ["region"]
    search_fields = ["name", "=number", "=id", "keys__fingerprint"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Device]:
        return Device.objects.visible_to(request.user)


@admin.register(DeviceBeat)
class DeviceBeatAdmin(ReadOnlyAdmin[DeviceBeat]):
    """What each device said last."""

    list_display = ["device", "last_seen_at", "health", "agent_version", "bundle_version", "config_version"]
    list_select_related = ["device"]
    search_fields = ["device__name", "=device__id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceBeat]:
        return DeviceBeat.objects.filter(device__in=Device.objects.visible_to(request.user))


@admin.register(DeviceKey)
class DeviceKeyAdmin(ReadOnlyAdmin[DeviceKey]):
    """Public keys of devices and where each stands in its life."""

    list_display = ["fingerprint", "device", "algorithm", "bits", "state", "created_at"]
    list_filter = ["state", "algorithm"]
    list_select_related = ["device"]
    search_fields = ["fingerprint", "device__name", "=device__id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceKey]:
        return DeviceKey.objects.filter(device__in=Device.objects.visible_to(request.user))


@admin.register(DeviceGroup)
class DeviceGroupAdmin(ReadOnlyAdmin[DeviceGroup]):
    """Static groups of devices."""

    list_display = ["name", "slug", "priority", "created_at"]
    search_fields = ["name", "slug"]


@admin.register(EnrolmentToken)
class EnrolmentTokenAdmin(ReadOnlyAdmin[EnrolmentToken]):
    """Tokens with which devices enrol, without their secrets."""

    list_display = ["name", "hint", "region", "group", "uses", "most_uses", "expires_at", "revoked_at"]
    list_select_related = ["region", "group"]
    search_fields = ["name", "hint"]
    exclude = ["digest"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[EnrolmentToken]:
        return EnrolmentToken.objects.visible_to(request.user)


@admin.register(DeviceLog)
class DeviceLogAdmin(ReadOnlyAdmin[DeviceLog]):
    """Log lines that devices have sent."""

    list_display = ["at", "device", "level", "source", "message"]
    list_filter = ["level"]
    list_select_related = ["device"]
    search_fields = ["device__name", "=device__id"]
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceLog]:
        return DeviceLog.objects.visible_to(request.user)
