"""Pages of nodes, regions, pools, addresses and operations. Those who may change them do so here or in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from hub.exceptions import HubError
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage

from . import clusters, lists, services
from .choices import EngineKind, PoolKind
from .cluster_forms import ClusterOptionsForm
from .facts import node_facts
from .forms import NodeForm, PoolForm, RegionForm
from .models import Address, AddressPool, Node, Operation, Region
from .workloads import operations_visible_to, workload_models

LATEST_OPERATIONS = 10


@login_required
def node_list(request: HttpRequest) -> HttpResponse:
    """Machines and clusters with how full they are and whether they answer."""
    require(request.user, "nodes.view")
    page = ListPage(request, lists.NODES, Node.objects.visible_to(request.user).select_related("region"))
    if "csv" in request.GET:
        return page.as_csv()
    facts = node_facts(page.page.object_list)
    context = {"list": page, "nodes": facts}
    if live.is_fragment(request, "list"):
        return live.answer(request, "nodes/partials/node_table.html", context, tag=live.etag(request.user.pk, facts))
    return live.private(render(request, "nodes/node_list.html", context))


@login_required
def node_detail(request: HttpRequest, name: str) -> HttpResponse:
    """One node: what it has, what it promised, its pools and its latest operations."""
    node = _node(request, name)
    operations = operations_visible_to(request.user).filter(node=node)[:LATEST_OPERATIONS]
    context = {
        "node": node,
        "measured_key": f"node:{node.name}",
        "facts": node_facts([node])[0],
        "pools": AddressPool.objects.filter(node=node).select_related("node").with_counts(),
        "operations": operations,
        "may_change": can(request.user, "nodes.change", node),
    }
    return live.private(render(request, "nodes/node_detail.html", context))


@login_required
@sensitive_post_parameters("kubeconfig")
def node_create(request: HttpRequest) -> HttpResponse:
    """Add a node."""
    require(request.user, "nodes.change")
    form = NodeForm(request.POST or None)
    cluster = ClusterOptionsForm(request.POST or None)
    is_cluster = request.POST.get("engine") == EngineKind.KUBERNETES and cluster.is_sent
    if request.method == "POST" and form.is_valid() and (not is_cluster or cluster.is_valid()):
        options = {"options": cluster.options()} if is_cluster else {}
        node = page_forms.call(form, services.create_node, actor=request.user, **form.cleaned_data, **options)
        if node:
            messages.success(request, f"Node {node.name} added. Start its agent, then give it a pool.")
            return redirect("nodes:node_detail", name=node.name)
    has_errors = form.errors or (is_cluster and cluster.errors)
    context = {"form": form, "cluster": cluster, "is_cluster": is_cluster}
    return render(request, "nodes/node_form.html", context, status=422 if has_errors else 200)


@login_required
@sensitive_post_parameters("kubeconfig")
def node_update(request: HttpRequest, name: str) -> HttpResponse:
    """Change a node's capacity, region, whether it takes new workloads, and a cluster's options."""
    node = _node(request, name)
    require(request.user, "nodes.change", node)
    form = NodeForm(request.POST or None, initial=NodeForm.initial_of(node), node=node)
    is_cluster = clusters.is_cluster(node)
    cluster = ClusterOptionsForm(request.POST or None, options=node.options, node=node.name)
    has_options = is_cluster and cluster.is_sent
    if request.method == "POST" and form.is_valid() and (not has_options or cluster.is_valid()):
        changes = form.changes()
        if has_options and cluster.options() != node.options:
            changes["options"] = cluster.options()
        if _change_node(form, node, request.user, changes):
            messages.success(request, f"Node {node.name} changed.")
            return redirect("nodes:node_detail", name=node.name)
    has_errors = form.errors or (has_options and cluster.errors)
    context = {"form": form, "node": node, "cluster": cluster if is_cluster else None, "is_cluster": is_cluster}
    return render(request, "nodes/node_form.html", context, status=422 if has_errors else 200)


def _change_node(form: NodeForm, node: Node, actor: Any, changes: dict[str, Any]) -> bool:
    """A new kubeconfig first: it is refused more easily than the rest."""
    if kubeconfig := changes.pop("kubeconfig", ""):
        page_forms.call(form, clusters.set_kubeconfig, node, actor=actor, kubeconfig=kubeconfig)
    return not form.errors and bool(page_forms.call(form, services.update_node, node, actor=actor, **changes))


@login_required
def node_delete(request: HttpRequest, name: str) -> HttpResponse:
    """Remove a node that runs nothing, once its name is typed."""
    node = _node(request, name)
    require(request.user, "nodes.change", node)
    return page_forms.confirm(
        request,
        title=f"Remove node {node.name}?",
        text="Its pools and their addresses go with it. A node that still has servers is refused.",
        action="Remove node",
        must_type=node.name,
        back="nodes:node_list",
        do=lambda: services.delete_node(node, actor=request.user),
        done=f"Node {node.name} removed.",
    )


@login_required
def region_list(request: HttpRequest) -> HttpResponse:
    """Regions, their nodes, and a form to add one."""
    form = RegionForm(request.POST or None)
    if request.method == "POST":
        require(request.user, "regions.change")
        if form.is_valid():
            region = page_forms.call(form, services.create_region, actor=request.user, **form.cleaned_data)
            if region:
                messages.success(request, f"Region {region.name} added.")
                return redirect("nodes:region_list")
    page = ListPage(request, lists.REGIONS, Region.objects.annotate(node_count=Count("nodes")))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "form": form, "may_change": can(request.user, "regions.change")}
    return render(request, "nodes/region_list.html", context, status=422 if form.errors else 200)


@login_required
def pool_list(request: HttpRequest) -> HttpResponse:
    """Pools with how many of their addresses are free, leased, resting and blocked."""
    require(request.user, "pools.view")
    rows = AddressPool.objects.visible_to(request.user).select_related("node").with_counts()
    page = ListPage(request, lists.POOLS, rows)
    if "csv" in request.GET:
        return page.as_csv()
    return render(request, "nodes/pool_list.html", {"list": page, "may_change": can(request.user, "pools.change")})


@login_required
def pool_create(request: HttpRequest) -> HttpResponse:
    """Add a pool; its addresses are made with it."""
    require(request.user, "pools.change")
    form = PoolForm(request.POST or None, initial={"node": request.GET.get("node"), "kind": PoolKind.HOST_PORTS})
    if request.method == "POST" and form.is_valid():
        pool = page_forms.call(form, services.create_pool, actor=request.user, **form.values())
        if pool:
            messages.success(request, f"Pool {pool.name} added.")
            return redirect("nodes:pool_detail", pk=pool.pk)
    return render(request, "nodes/pool_form.html", {"form": form}, status=422 if form.errors else 200)


@login_required
def pool_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The ledger of a pool: every address, its state, and who holds it."""
    pools = AddressPool.objects.visible_to(request.user).select_related("node").with_counts()
    pool = get_object_or_404(pools, pk=pk)
    page = ListPage(request, lists.ADDRESSES, Address.objects.filter(pool=pool).select_related("node"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {
        "pool": pool,
        "list": page,
        "holders": _holders(request, page.page.object_list),
        "may_change": can(request.user, "pools.change", pool),
        "may_block": can(request.user, "addresses.change"),
    }
    return render(request, "nodes/pool_detail.html", context)


@login_required
@require_POST
def pool_switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a pool give addresses, or stop it."""
    pool = get_object_or_404(AddressPool.objects.visible_to(request.user), pk=pk)
    is_enabled = request.POST.get("is_enabled") == "yes"
    services.set_pool_enabled(pool, actor=request.user, is_enabled=is_enabled)
    messages.success(request, f"Pool {pool.name} {'gives' if is_enabled else 'no longer gives'} addresses.")
    return redirect("nodes:pool_detail", pk=pool.pk)


@login_required
def pool_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a pool none of whose addresses is leased, once its name is typed."""
    pool = get_object_or_404(AddressPool.objects.visible_to(request.user).select_related("node"), pk=pk)
    require(request.user, "pools.change", pool)
    return page_forms.confirm(
        request,
        title=f"Remove pool {pool.name}?",
        text="All its addresses go with it. A pool that has leased addresses is refused.",
        action="Remove pool",
        must_type=pool.name,
        back="nodes:pool_list",
        do=lambda: services.delete_pool(pool, actor=request.user),
        done=f"Pool {pool.name} removed.",
    )


@login_required
@require_POST
def address_block(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an address out of use, or put it back."""
    address = get_object_or_404(Address.objects.visible_to(request.user), pk=pk)
    try:
        if request.POST.get("block") == "yes":
            services.block_address(address, actor=request.user, reason=f"Taken out of use by {request.user}.")
        else:
            services.unblock_address(address, actor=request.user)
    except HubError as error:
        messages.error(request, error.message)
    return redirect(page_forms.back_url(request, "nodes:pool_list"))


@login_required
def operation_list(request: HttpRequest) -> HttpResponse:
    """Every wish one may know of, and its fate."""
    require(request.user, "operations.view")
    page = ListPage(request, lists.OPERATIONS, operations_visible_to(request.user).select_related("node"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "targets": _targets(page.page.object_list)}
    if live.is_fragment(request, "list"):
        tag = live.etag(request.user.pk, [(row.pk, row.status, row.finished_at) for row in page.page.object_list])
        return live.answer(request, "nodes/partials/operation_table.html", context, tag=tag)
    return live.private(render(request, "nodes/operation_list.html", context))


def _node(request: HttpRequest, name: str) -> Node:
    node: Node = get_object_or_404(Node.objects.visible_to(request.user).select_related("region"), name=name)
    return node


def _holders(request: HttpRequest, addresses: Any) -> dict[Any, Any]:
    """The workloads that hold these addresses, one query for each kind."""
    ids = [address.holder for address in addresses if address.holder]
    found: dict[Any, Any] = {}
    for model in workload_models():
        found |= {row.pk: row for row in model.objects.visible_to(request.user).filter(pk__in=ids)}
    return found


def _targets(operations: Any) -> dict[Any, str]:
    """Addresses of the pages of the workloads that these operations are about."""
    rows: list[Operation] = list(operations)
    found: dict[Any, str] = {}
    for model in workload_models():
        ids = {row.workload_id for row in rows if row.workload_kind == model.kind}
        for workload in model.objects.alive().filter(pk__in=ids) if ids else ():
            found[workload.pk] = getattr(workload, "get_absolute_url", lambda: "")()
    return found
