"""Pages of a node's upkeep: its drift report, its images, its registries."""

from __future__ import annotations

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

from . import images, registries, repairs
from .choices import TaskVerb
from .forms import RegistryForm
from .models import Node, NodeTask
from .upkeep import DriftCard

IMAGE_VERBS = (TaskVerb.LIST_IMAGES, TaskVerb.PULL_IMAGE, TaskVerb.REMOVE_IMAGES)
LATEST_TASKS = 5


@login_required
def node_drift(request: HttpRequest, name: str) -> HttpResponse:
    """The report as the agent last found it; the fragment of the node's page that keeps up with it."""
    node = _node(request, name)
    card = DriftCard(node, request.user)
    if not live.is_fragment(request):
        return redirect(f"{reverse('nodes:node_detail', args=[node.name])}#node-drift")
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
            messages.success(request, f"{task}: the agent is asked.")
        _warn_if_silent(request, node)
    except (Conflict, NotFound) as error:
        messages.error(request, error.message)
    if live.is_fragment(request, "node-drift"):
        context = {"node": node, "card": DriftCard(node, request.user), "with_toasts": True}
        return live.private(render(request, "nodes/partials/drift.html", context))
    return redirect("nodes:node_detail", name=node.name)


@login_required
def node_images(request: HttpRequest, name: str) -> HttpResponse:
    """Images on the node with who needs each, and the registries it can log in to."""
    return _images_page(request, _node(request, name), RegistryForm())


@login_required
def node_image_tasks(request: HttpRequest, name: str) -> HttpResponse:
    """How far pulls and removals are; the page is asked for anew once one is over."""
    node = _node(request, name)
    tasks = _tasks(node)
    tag = live.etag(node.pk, [(task.pk, task.status, task.message, task.progress_percent) for task in tasks])
    context = {"node": node, "tasks": tasks, "has_open": any(task.is_open for task in tasks)}
    return live.answer(request, "nodes/partials/image_tasks.html", context, tag=tag)


@login_required
@require_POST
def node_images_list(request: HttpRequest, name: str) -> HttpResponse:
    """Have the agent list them again."""
    return _ask(request, name, images.ask_list)


@login_required
@require_POST
def node_image_pull(request: HttpRequest, name: str) -> HttpResponse:
    """Fetch an image ahead."""
    return _ask(request, name, images.ask_pull, image=request.POST.get("image", ""))


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
    )


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


def _ask(request: HttpRequest, name: str, service: Any, **values: str) -> HttpResponse:
    node = _node(request, name)
    try:
        task = service(node, actor=request.user, **values)
        messages.success(request, f"{task}: the agent is asked.")
        _warn_if_silent(request, node)
    except (Conflict, Invalid) as error:
        messages.error(request, error.message)
    return redirect("nodes:node_images", name=node.name)


def _images_page(request: HttpRequest, node: Node, form: RegistryForm, status: int = 200) -> HttpResponse:
    tasks = _tasks(node)
    context = {
        "node": node,
        "shelf": images.shelf(node),
        "has_images": images.has_images(node),
        "registries": registries.registries_of(node),
        "registry_form": form,
        "tasks": tasks,
        "has_open": any(task.is_open for task in tasks),
        "may_change": can(request.user, "nodes.change", node),
    }
    return live.private(render(request, "nodes/node_images.html", context, status=status))


def _tasks(node: Node) -> list[NodeTask]:
    return list(NodeTask.objects.filter(node=node, verb__in=IMAGE_VERBS)[:LATEST_TASKS])


def _warn_if_silent(request: HttpRequest, node: Node) -> None:
    if not node.is_agent_alive:
        messages.warning(request, f"{node.name} does not answer; what was asked is done when it does.")


def _node(request: HttpRequest, name: str) -> Node:
    node: Node = get_object_or_404(Node.objects.visible_to(request.user).select_related("region"), name=name)
    return node
