"""Django admin of templates, servers and logs. What changes something goes through the services."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.admin_base import SHALLOW, ReadOnlyAdmin, ServiceAdmin

from . import services
from .models import ConsoleCommand, GameServer, ServerLog, Template, TemplateTrial, TemplateVariable

SEALED = ("secret_values", "rcon_password", "running_rcon_password")


class VariableInline(admin.StackedInline[TemplateVariable, Template]):
    """The settings that a template offers."""

    model = TemplateVariable
    extra = 0
    formfield_overrides = SHALLOW


@admin.register(Template)
class TemplateAdmin(ServiceAdmin[Template]):
    """Once edited here, a template is left alone by the catalogue."""

    list_display = ["name", "game", "slug", "is_published", "version", "is_customized", "updated_at"]
    list_filter = ["is_published", "is_customized", "game"]
    search_fields = ["name", "slug", "game", "image"]
    readonly_fields = ["version", "is_customized", "created_at", "updated_at"]
    inlines = [VariableInline]
    actions = ["publish", "withdraw"]

    def has_change_permission(self, request: HttpRequest, obj: Template | None = None) -> bool:
        """Programs on a node itself are the Admin's alone."""
        if obj is not None and obj.process_command and not can(request.user, "nodes.change"):
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Template | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Template | None = None) -> Any:
        return [*self.readonly_fields, "slug"] if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data}
            services.update_template(obj, actor=request.user, **changes)
        else:
            made = services.create_template(actor=request.user, **form.cleaned_data)
            obj.pk, obj._state.adding = made.pk, False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Store the variables, and have the whole checked and recorded once more when they changed."""
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            services.update_template(Template.objects.get(pk=form.instance.pk), actor=request.user)

    def delete_model(self, request: HttpRequest, obj: Template) -> None:
        services.delete_template(obj, actor=request.user)

    @admin.action(description="Offer to everybody", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self.for_each(request, queryset, lambda t: services.update_template(t, actor=request.user, is_published=True))

    @admin.action(description="Offer no longer", permissions=["change"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Template]) -> None:
        self.for_each(request, queryset, lambda t: services.update_template(t, actor=request.user, is_published=False))


@admin.register(GameServer)
class GameServerAdmin(ReadOnlyAdmin[GameServer]):
    """Servers are made and changed on their pages; here are all their facts, and the powers for many at once."""

    list_display = [
        "name",
        "owner",
        "template",
        "node",
        "observed_status",
        "desired_status",
        "admin_state",
        "created_at",
    ]
    list_filter = ["observed_status", "desired_status", "admin_state", "template", "node"]
    list_select_related = ["owner", "template", "node__region"]
    search_fields = ["name", "=id", "owner__username"]
    date_hierarchy = "created_at"
    exclude = SEALED
    actions = ["start", "stop", "restart", "kill", "suspend", "unsuspend", "delete_servers"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[GameServer]:
        return GameServer.objects.visible_to(request.user)

    @admin.action(description="Start")
    def start(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        self.for_each(request, queryset, lambda server: services.start_server(server, actor=request.user))

    @admin.action(description="Stop")
    def stop(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        self.for_each(request, queryset, lambda server: services.stop_server(server, actor=request.user))

    @admin.action(description="Restart")
    def restart(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        self.for_each(request, queryset, lambda server: services.restart_server(server, actor=request.user))

    @admin.action(description="Kill (unsaved data is lost)")
    def kill(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        self.for_each(request, queryset, lambda server: services.kill_server(server, actor=request.user))

    @admin.action(description="Suspend")
    def suspend(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        reason = f"By {request.user}; ask for the reason."
        self.for_each(request, queryset, lambda s: services.suspend_server(s, actor=request.user, reason=reason))

    @admin.action(description="Lift the suspension")
    def unsuspend(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        self.for_each(request, queryset, lambda server: services.unsuspend_server(server, actor=request.user))

    @admin.action(description="Delete with all data")
    def delete_servers(self, request: HttpRequest, queryset: QuerySet[GameServer]) -> None:
        self.for_each(request, queryset, lambda server: services.delete_server(server, actor=request.user))


@admin.register(ServerLog)
class ServerLogAdmin(ReadOnlyAdmin[ServerLog]):
    """The newest output of each server."""

    list_display = ["server", "captured_at", "wanted_until"]
    list_select_related = ["server"]
    search_fields = ["server__name", "=server__id"]

    def view_on_site(self, obj: ServerLog) -> str:
        return reverse("servers:server_log", args=[obj.pk])

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServerLog]:
        return ServerLog.objects.filter(server__in=GameServer.objects.visible_to(request.user))


@admin.register(ConsoleCommand)
class ConsoleCommandAdmin(ReadOnlyAdmin[ConsoleCommand]):
    """Commands sent to consoles in the last day, without their words and answers."""

    list_display = ["server", "actor_name", "kind", "status", "error", "created_at", "finished_at"]
    list_filter = ["status", "kind"]
    list_select_related = ["server"]
    search_fields = ["server__name", "=server__id", "actor_name"]
    exclude = ["text", "answer"]

    def view_on_site(self, obj: ConsoleCommand) -> str:
        return reverse("servers:server_console", args=[obj.server_id])

    def get_queryset(self, request: HttpRequest) -> QuerySet[ConsoleCommand]:
        return ConsoleCommand.objects.filter(server__in=GameServer.objects.visible_to(request.user))


@admin.register(TemplateTrial)
class TemplateTrialAdmin(ReadOnlyAdmin[TemplateTrial]):
    """Trial starts of templates and what came of them."""

    list_display = ["template", "status", "ready_seconds", "actor_name", "created_at", "ended_at"]
    list_filter = ["status"]
    list_select_related = ["template"]
    search_fields = ["template__name", "template__slug"]

    def view_on_site(self, obj: TemplateTrial) -> str:
        return obj.template.get_absolute_url()
