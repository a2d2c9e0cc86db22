"""Manual commands in the admin site: rows to look at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin

from .models import ManualCommand


@admin.register(ManualCommand)
class ManualCommandAdmin(ReadOnlyAdmin[ManualCommand]):
    """What people had devices do, and what came of it; sent and taken back on the device's page."""

    list_display = ["name", "device", "status", "created_by", "created_at", "finished_at"]
    list_filter = ["status"]
    list_select_related = ["device"]
    search_fields = ["name", "device__name", "=device__id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ManualCommand]:
        return ManualCommand.objects.visible_to(request.user)
