"""Configurations in the admin site: rows to look at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from devices.models import Device
from hub.admin_base import ReadOnlyAdmin

from .models import ConfigRevision, DeviceConfig, GroupConfig


@admin.register(DeviceConfig)
class DeviceConfigAdmin(ReadOnlyAdmin[DeviceConfig]):
    """What each device is to be set to, and what it has applied; changed on its page."""

    list_display = ["device", "version", "applied_version", "applied_at", "error", "updated_at"]
    list_select_related = ["device"]
    search_fields = ["device__name", "=device__id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeviceConfig]:
        return DeviceConfig.objects.visible_to(request.user)


@admin.register(GroupConfig)
class GroupConfigAdmin(ReadOnlyAdmin[GroupConfig]):
    """What the devices of each group inherit; changed on its page."""

    list_display = ["group", "version", "updated_at"]
    list_select_related = ["group"]
    search_fields = ["group__name", "group__slug"]


@admin.register(ConfigRevision)
class ConfigRevisionAdmin(ReadOnlyAdmin[ConfigRevision]):
    """Every version of every configuration."""

    list_display = ["device", "group", "version", "actor_name", "note", "created_at"]
    list_select_related = ["device", "group"]
    search_fields = ["device__name", "group__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConfigRevision]:
        seen = Device.objects.visible_to(request.user)
        return ConfigRevision.objects.filter(group__isnull=False) | ConfigRevision.objects.filter(device__in=seen)
