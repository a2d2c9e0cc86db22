"""Bundles and publishers' keys in the admin site: rows to look at, and what services do with the chosen ones."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin

from . import services
from .models import Bundle, DeviceSealingKey, PublisherKey


@admin.register(Bundle)
class BundleAdmin(ReadOnlyAdmin[Bundle]):
    """Bundles with their digests and manifests; uploaded, invalidated and deleted on their pages."""

    list_display = ["name", "version", "status", "size_bytes", "is_sealed", "publisher", "uploaded_by_name", "ready_at"]
    list_filter = ["status", "kind", "is_sealed"]
    list_select_related = ["publisher"]
    search_fields = ["name", "version", "sha256", "=id"]
    exclude = ["content_key"]


@admin.register(PublisherKey)
class PublisherKeyAdmin(ReadOnlyAdmin[PublisherKey]):
    """Keys whose signatures make files bundles; added on their page."""

    list_display = ["name", "algorithm", "fingerprint", "is_enabled", "created_by", "created_at"]
    list_filter = ["is_enabled", "algorithm"]
    search_fields = ["name", "fingerprint"]
    actions = ["trust", "trust_no_longer"]

    @admin.action(description="Trust the chosen keys")
    def trust(self, request: HttpRequest, rows: QuerySet[PublisherKey]) -> None:
        self.for_each(request, rows, lambda row: services.set_publisher_enabled(row, True, actor=request.user))

    @admin.action(description="Trust the chosen keys no longer")
    def trust_no_longer(self, request: HttpRequest, rows: QuerySet[PublisherKey]) -> None:
        self.for_each(request, rows, lambda row: services.set_publisher_enabled(row, False, actor=request.user))


@admin.register(DeviceSealingKey)
class DeviceSealingKeyAdmin(ReadOnlyAdmin[DeviceSealingKey]):
    """Public keys to which content keys of bundles are wrapped, of devices whose own keys only sign."""

    list_display = ["device", "public_key", "changed_at"]
    list_select_related = ["device"]
    search_fields = ["device__name", "=device__id"]
