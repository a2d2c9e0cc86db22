"""Pages of a node's upkeep: its drift report, its images, its registries, data left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from hub.exceptions import Conflict, HubError, Invalid, NotFound
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.requests import tell

from . import clusters, images, kept, registries, repairs
from .choices import TaskVerb
from .forms import RegistryForm
from .models import Node, NodeTask
from .upkeep import DriftCard, cluster_facts

IMAGE_VERBS = (TaskVerb.LIST_IMAGES, TaskVerb.PULL_IMAGE, TaskVerb.REMOVE_IMAGES)
DATA_VERBS = (TaskVerb.LIST_DATA, TaskVerb.REMOVE_DATA, TaskVerb.BACK_UP_DATA)
LATEST_TASKS = 5
IMAGES = ("nodes:node_images", "image-tasks")
DATA = ("nodes:node_data", "data-tasks")
"""The page and the card on it that show what becomes of a task."""


@login_required
def node_drift(request: HttpRequest, name: str) -> HttpResponse:
    """The report as the agent last found it; the fragment of the node's page that keeps up with it."""
    node = _node(request, name)
    card = DriftCard(node, request.user)
    if not live.is_fragment(request):
        return redirect(_card(node, "node-drift"))
    return live.answer(request, "nodes/partials/drift.html", {"node": node, "card": card}, tag=card.tag)


@login_required
@require_POST
def node_mend(request: HttpRequest, name: str, verb: str) -> HttpResponse:
    """Look again, or adopt, repair or remove one row of the report."""
    node = _node(request, name)
    try:
        if verb == TaskVerb.LOOK:
            task = repairs.ask_look(node, actor=request.user)
        else:
            task = repairs.ask_remedy(node, actor=request.user, verb=verb, key=request.POST.get("key", ""))
            tell(request, f"{task}: the agent is asked.", _card(node, "node-drift"))
        _warn_if_silent(request, node)
    except (Conflict, NotFound) as error:
        messages.error(request, error.message)
    if live.is_fragment(request, "node-drift"):
        context = {"node": node, "card": DriftCard(node, request.user), "with_toasts": True}
        return live.private(render(request, "nodes/partials/drift.html", context))
    return redirect("nodes:node_detail", name=node.name)


@login_required
def node_cluster(request: HttpRequest, name: str) -> HttpResponse:
    """What an examination has shown; the fragment of the node's page that keeps up with one under way."""
    node = _node(request, name)
    if not live.is_fragment(request) or not clusters.is_cluster(node):
        return redirect("nodes:node_detail", name=node.name)
    card = cluster_facts(node, request.user)
    report = card["report"]
    tag = live.etag(request.user.pk, report and (report.taken_at, report.error), card["may_examine"])
    return live.answer(request, "nodes/partials/cluster_card.html", card, tag=tag)


@login_required
@require_POST
def node_examine(request: HttpRequest, name: str) -> HttpResponse:
    """Have the cluster examined now."""
    node = _node(request, name)
    try:
        clusters.ask_examination(node, actor=request.user)
        tell(request, "The agent is asked; an examination takes a minute or two.", _card(node, "node-cluster"))
        _warn_if_silent(request, node)
    except NotFound as error:
        messages.error(request, error.message)
    return redirect("nodes:node_detail", name=node.name)


@login_required
def node_images(request: HttpRequest, name: str) -> HttpResponse:
    """Images on the node with who needs each, and the registries it can log in to."""
    return _images_page(request, _node(request, name), RegistryForm())


@login_required
def node_image_tasks(request: HttpRequest, name: str) -> HttpResponse:
    """How far pulls and removals are; the page is asked for anew once one is over."""
    return _tasks_piece(request, _node(request, name), IMAGE_VERBS, "image_tasks")


@login_required
@require_POST
def node_images_list(request: HttpRequest, name: str) -> HttpResponse:
    """Have the agent list them again."""
    return _ask(request, name, images.ask_list, *IMAGES)


@login_required
@require_POST
def node_image_pull(request: HttpRequest, name: str) -> HttpResponse:
    """Fetch an image ahead."""
    return _ask(request, name, images.ask_pull, *IMAGES, image=request.POST.get("image", ""))


@login_required
def node_images_remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show what would go and how much that is, then have it removed."""
    node = _node(request, name)
    require(request.user, "nodes.change", node)
    ids = request.GET.getlist("id") or None
    back = reverse("nodes:node_images", args=[node.name])
    try:
        preview = images.preview_removal(node, ids)
    except HubError as error:
        messages.error(request, error.message)
        return redirect(back)
    if not preview.images:
        messages.info(request, "There is no image that nobody needs.")
        return redirect(back)
    count = len(preview.images)
    return page_forms.confirm(
        request,
        title=f"Remove {count} image{'' if count == 1 else 's'} from {node.name}?",
        text=f"Up to {preview.size_mb:.0f} MiB become free; layers that others share stay. Gone will be:",
        lost=[f"{image.title}, {image.size_mb:.0f} MiB" for image in preview.images],
        action="Remove images",
        back=back,
        do=lambda: images.ask_removal(node, actor=request.user, ids=[image.id for image in preview.images]),
        done="The agent is asked to remove them.",
        result_url=f"{back}#image-tasks",
    )


@login_required
def node_data(request: HttpRequest, name: str) -> HttpResponse:
    """Data that removed workloads have left, with their size and age."""
    node = _node(request, name)
    context = {
        "node": node,
        "cellar": kept.cellar(node),
        "keeps_data": kept.keeps_data(node),
        "may_change": can(request.user, "nodes.change", node),
        **_tasks_of(node, DATA_VERBS),
    }
    return live.private(render(request, "nodes/node_data.html", context))


@login_required
def node_data_tasks(request: HttpRequest, name: str) -> HttpResponse:
    """How far looking and deleting are."""
    return _tasks_piece(request, _node(request, name), DATA_VERBS, "data_tasks")


@login_required
@require_POST
def node_data_list(request: HttpRequest, name: str) -> HttpResponse:
    """Have the agent look again."""
    return _ask(request, name, kept.ask_list, *DATA)


@login_required
def node_data_remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show what would be lost, have the node's name typed, then have it deleted."""
    node = _node(request, name)
    require(request.user, "nodes.change", node)
    back = reverse("nodes:node_data", args=[node.name])
    try:
        preview = kept.preview_removal(node, request.GET.getlist("name"))
    except HubError as error:
        messages.error(request, error.message)
        return redirect(back)
    if not preview.kept:
        messages.info(request, "Choose what shall be deleted.")
        return redirect(back)
    names = [one.name for one in preview.kept]
    return page_forms.confirm(
        request,
        title=f"Delete the data of {len(names)} removed workload{'' if len(names) == 1 else 's'}?",
        text=f"Nothing brings them back, {preview.size_mb:.1f} MiB in all. Lost will be:",
        lost=[_lost_words(one) for one in preview.kept],
        action="Delete data",
        back=back,
        must_type=node.name,
        do=lambda: kept.ask_removal(node, actor=request.user, names=names, confirm=node.name),
        done="The agent is asked to delete them.",
        result_url=f"{back}#data-tasks",
    )


def _lost_words(one: kept.Kept) -> str:
    size = "not counted yet" if one.size_mb is None else f"{one.size_mb:.1f} MiB"
    changed = f", last changed {one.changed_at:%Y-%m-%d %H:%M} UTC" if one.changed_at else ""
    return f"{one.title}{f' of {one.owner}' if one.owner else ''}, {size}{changed}"


@login_required
@require_POST
@sensitive_post_parameters("password")
def registry_set(request: HttpRequest, name: str) -> HttpResponse:
    """Store credentials of a registry, or replace them."""
    node = _node(request, name)
    require(request.user, "nodes.change", node)
    form = RegistryForm(request.POST)
    if form.is_valid():
        try:
            registries.set_registry(node, actor=request.user, **form.cleaned_data)
        except Invalid as error:
            form.add_error(error.field, error.message)
        else:
            messages.success(request, f"Credentials of {form.cleaned_data['registry']} are stored.")
            return redirect("nodes:node_images", name=node.name)
    return _images_page(request, node, form, status=422)


@login_required
def registry_forget(request: HttpRequest, name: str) -> HttpResponse:
    """Ask, then forget the credentials of a registry."""
    node = _node(request, name)
    require(request.user, "nodes.change", node)
    registry = request.GET.get("registry", "")
    return page_forms.confirm(
        request,
        title=f"Forget the credentials of {registry}?",
        text=f"{node.name} can then only pull what this registry gives to everybody.",
        action="Forget credentials",
        back=reverse("nodes:node_images", args=[node.name]),
        do=lambda: registries.forget_registry(node, actor=request.user, registry=registry),
        done=f"Credentials of {registry} are forgotten.",
    )


def _card(node: Node, anchor: str) -> str:
    """Where on the node's page one sees what becomes of it."""
    return f"{reverse('nodes:node_detail', args=[node.name])}#{anchor}"


def _ask(request: HttpRequest, name: str, service: Any, page: str, anchor: str, **values: str) -> HttpResponse:
    node = _node(request, name)
    try:
        task = service(node, actor=request.user, **values)
        tell(request, f"{task}: the agent is asked.", f"{reverse(page, args=[node.name])}#{anchor}")
        _warn_if_silent(request, node)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
    return redirect(page, name=node.name)


def _images_page(request: HttpRequest, node: Node, form: RegistryForm, status: int = 200) -> HttpResponse:
    context = {
        "node": node,
        "shelf": images.shelf(node),
        "has_images": images.has_images(node),
        "registries": registries.registries_of(node),
        "registry_form": form,
        "may_change": can(request.user, "nodes.change", node),
        **_tasks_of(node, IMAGE_VERBS),
    }
    return live.private(render(request, "nodes/node_images.html", context, status=status))


def _tasks_of(node: Node, verbs: Sequence[TaskVerb]) -> dict[str, Any]:
    """What was asked lately, for a page."""
    tasks = list(NodeTask.objects.filter(node=node, verb__in=verbs)[:LATEST_TASKS])
    return {"tasks": tasks, "has_open": any(task.is_open for task in tasks)}


def _tasks_piece(request: HttpRequest, node: Node, verbs: Sequence[TaskVerb], piece: str) -> HttpResponse:
    """The fragment that follows them."""
    context = {"node": node, **_tasks_of(node, verbs)}
    shown = [(task.pk, task.status, task.message, task.progress_percent) for task in context["tasks"]]
    return live.answer(request, f"nodes/partials/{piece}.html", context, tag=live.etag(node.pk, shown))


def _warn_if_silent(request: HttpRequest, node: Node) -> None:
    if not node.is_agent_alive:
        messages.warning(request, f"{node.name} does not answer; what was asked is done when it does.")


def _node(request: HttpRequest, name: str) -> Node:
    node: Node = get_object_or_404(Node.objects.visible_to(request.user).select_related("region"), name=name)
    return node
