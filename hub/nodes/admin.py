"""Django admin of regions, nodes, pools, addresses and operations. What changes a state goes through the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from hub.admin_base import ReadOnlyAdmin, ServiceAdmin

from . import clusters, services
from .forms import SecretText
from .models import Address, AddressPool, Node, NodeReport, NodeTask, Operation, Region


@admin.register(Region)
class RegionAdmin(ServiceAdmin[Region]):
    """Regions: name, position and whether they take servers are edited here; a slug stays."""

    list_display = ["name", "slug", "position", "is_enabled"]
    search_fields = ["name", "slug"]

    def get_readonly_fields(self, request: HttpRequest, obj: Region | None = None) -> Any:
        return ["slug"] if obj else ["is_enabled"]

    def save_model(self, request: HttpRequest, obj: Region, form: Any, change: bool) -> None:
        if change:
            services.update_region(obj, actor=request.user, **_changes(form))
        else:
            _adopt(obj, services.create_region(actor=request.user, **form.cleaned_data))

    def delete_model(self, request: HttpRequest, obj: Region) -> None:
        services.delete_region(obj, actor=request.user)


class NodeAdminForm(forms.ModelForm):
    """With the one credential that is set here and never shown."""

    kubeconfig = forms.CharField(
        required=False,
        strip=False,
        max_length=clusters.MOST_BYTES,
        widget=SecretText(attrs={"rows": 4, "autocomplete": "off"}),
        help_text="Of a cluster whose agent runs outside it. It is never shown again; empty leaves it as it is.",
    )


@admin.register(Node)
class NodeAdmin(ServiceAdmin[Node]):
    """Capacity and options are edited here; what the agent tells is read-only."""

    list_display = ["name", "region", "engine", "is_enabled", "is_draining", "agent_seen_at", "engine_error"]
    list_filter = ["engine", "region", "is_enabled", "is_draining"]
    list_select_related = ["region"]
    search_fields = ["name"]
    exclude = ["credentials"]
    form = NodeAdminForm
    readonly_fields = ["agent_seen_at", "agent_version", "agent_facts", "engine_error", "engine_checked_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Node | None = None) -> Any:
        return [*self.readonly_fields, "name", "engine"] if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Node, form: Any, change: bool) -> None:
        if change:
            changes = _changes(form)
            if kubeconfig := changes.pop("kubeconfig", ""):
                clusters.set_kubeconfig(obj, actor=request.user, kubeconfig=kubeconfig)
            services.update_node(obj, actor=request.user, **changes)
        else:
            _adopt(obj, services.create_node(actor=request.user, **form.cleaned_data))

    def delete_model(self, request: HttpRequest, obj: Node) -> None:
        services.delete_node(obj, actor=request.user)


@admin.register(AddressPool)
class PoolAdmin(ServiceAdmin[AddressPool]):
    """A pool is made once, with its rows; later it is only switched on and off."""

    list_display = ["__str__", "kind", "is_public", "is_enabled", "free", "leased", "quarantined", "blocked"]
    list_filter = ["kind", "is_public", "is_enabled", "node"]
    list_select_related = ["node"]
    actions = ["enable", "disable"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AddressPool]:
        return AddressPool.objects.select_related("node").with_counts()

    def has_change_permission(self, request: HttpRequest, obj: AddressPool | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: AddressPool, form: Any, change: bool) -> None:
        _adopt(obj, services.create_pool(actor=request.user, **form.cleaned_data))

    def delete_model(self, request: HttpRequest, obj: AddressPool) -> None:
        services.delete_pool(obj, actor=request.user)

    @admin.action(description="Let them give addresses", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[AddressPool]) -> None:
        self.for_each(
            request, queryset, lambda pool: services.set_pool_enabled(pool, actor=request.user, is_enabled=True)
        )

    @admin.action(description="Stop them giving addresses", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[AddressPool]) -> None:
        self.for_each(
            request, queryset, lambda pool: services.set_pool_enabled(pool, actor=request.user, is_enabled=False)
        )

    @admin.display(ordering="free_count")
    def free(self, pool: Any) -> int:
        return int(pool.free_count)

    @admin.display(ordering="leased_count")
    def leased(self, pool: Any) -> int:
        return int(pool.leased_count)

    @admin.display(ordering="quarantined_count")
    def quarantined(self, pool: Any) -> int:
        return int(pool.quarantined_count)

    @admin.display(ordering="blocked_count")
    def blocked(self, pool: Any) -> int:
        return int(pool.blocked_count)


@admin.register(Address)
class AddressAdmin(ReadOnlyAdmin[Address]):
    """Addresses are leased by the hub; an admin may block and unblock them."""

    list_display = ["__str__", "pool", "state", "holder", "port_name", "leased_at", "rest_until", "reason"]
    list_filter = ["state", "pool"]
    list_select_related = ["pool__node", "node"]
    search_fields = ["ip", "=port", "=holder"]
    actions = ["block", "unblock"]

    def view_on_site(self, obj: Address) -> str:
        return obj.pool.get_absolute_url()

    @admin.action(description="Take out of use")
    def block(self, request: HttpRequest, queryset: QuerySet[Address]) -> None:
        self.for_each(
            request,
            queryset,
            lambda address: services.block_address(address, actor=request.user, reason=f"Blocked by {request.user}."),
        )

    @admin.action(description="Put back into use")
    def unblock(self, request: HttpRequest, queryset: QuerySet[Address]) -> None:
        self.for_each(request, queryset, lambda address: services.unblock_address(address, actor=request.user))


@admin.register(Operation)
class OperationAdmin(ReadOnlyAdmin[Operation]):
    """Wishes and their fate."""

    list_display = ["created_at", "verb", "workload_name", "status", "actor_name", "finished_at", "error"]
    list_filter = ["status", "verb", "workload_kind"]
    search_fields = ["workload_name", "=workload_id", "request_id"]
    date_hierarchy = "created_at"


@admin.register(NodeTask)
class NodeTaskAdmin(ReadOnlyAdmin[NodeTask]):
    """What agents were asked, and their fate."""

    list_display = ["created_at", "node", "verb", "subject", "status", "actor_name", "finished_at", "message"]
    list_filter = ["status", "verb", "node"]
    list_select_related = ["node"]
    search_fields = ["subject", "request_id"]
    exclude = ["lease_token", "lease_until"]
    date_hierarchy = "created_at"


@admin.register(NodeReport)
class NodeReportAdmin(ReadOnlyAdmin[NodeReport]):
    """What agents have found on their machines."""

    list_display = ["node", "kind", "taken_at", "error"]
    list_filter = ["kind", "node"]
    list_select_related = ["node"]


def _changes(form: Any) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in form.changed_data}


def _adopt(row: Any, made: Any) -> None:
    """Let Django's own instance be the one that the service made."""
    row.pk, row._state.adding = made.pk, False
