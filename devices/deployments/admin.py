"""Deployments in the admin site: rows to look at, and calling off what is chosen."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin

from . import services
from .models import Deployment, DeploymentTarget, TargetEvent


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin[Deployment]):
    """Deployments and rollbacks with their terms; made on their page."""

    list_display = ["kind", "bundle", "status", "created_by_name", "created_at", "finished_at"]
    list_filter = ["status", "kind"]
    list_select_related = ["bundle"]
    search_fields = ["=id", "bundle__name", "bundle__version", "description"]
    actions = ["cancel"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        return Deployment.objects.visible_to(request.user)

    @admin.action(description="Call off")
    def cancel(self, request: HttpRequest, rows: QuerySet[Deployment]) -> None:
        self.for_each(request, rows, lambda row: services.cancel_deployment(row, actor=request.user))


@admin.register(DeploymentTarget)
class DeploymentTargetAdmin(ReadOnlyAdmin[DeploymentTarget]):
    """One device of a deployment each: where it stands and how it ended."""

    list_display = ["number", "device", "bundle", "status", "attempt", "error_code", "created_at", "finished_at"]
    list_filter = ["status", "error_code"]
    list_select_related = ["device", "bundle"]
    search_fields = ["=number", "device__name", "=deployment__id"]
    actions = ["force_quit"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeploymentTarget]:
        return DeploymentTarget.objects.visible_to(request.user)

    @admin.action(description="End without the device")
    def force_quit(self, request: HttpRequest, rows: QuerySet[DeploymentTarget]) -> None:
        self.for_each(request, rows, lambda row: services.force_quit(row, actor=request.user))


@admin.register(TargetEvent)
class TargetEventAdmin(ReadOnlyAdmin[TargetEvent]):
    """Every move of every target, newest first."""

    list_display = ["at", "target", "status", "message"]
    list_filter = ["status"]
    list_select_related = ["target__bundle", "target__device"]
    search_fields = ["=target__number", "target__device__name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[TargetEvent]:
        return TargetEvent.objects.filter(target__in=DeploymentTarget.objects.visible_to(request.user))
