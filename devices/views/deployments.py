"""Deployments: the list, one with its board, and what is done with it."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from devices.deployments import services
from devices.deployments.choices import ACTIVE, NOT_BEGUN, TargetStatus
from devices.deployments.lists import DEPLOYMENTS, TARGETS
from devices.deployments.models import Deployment, DeploymentTarget
from devices.deployments.querysets import DeploymentQuerySet, TargetQuerySet
from devices.deployments.services import ways_back
from devices.deployments.suits import group_by_reason
from devices.limits import reaches_all
from devices.models import Device
from hub.exceptions import HubError
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me, tell

T = TargetStatus
ROW_FACTS = ("pk", "status", "total", "done_count", "active_count", "failed_count")
TARGET_FACTS = ("pk", "status", "attempt", "offers", "progress_percent", "error_message", "device__name")
NAMED = 20


def find_deployment(request: HttpRequest, pk: UUID) -> Any:
    """A deployment that one may see, with its counts."""
    rows = Deployment.objects.visible_to(request.user).select_related("bundle", "parent__bundle").with_counts()
    return get_object_or_404(rows, pk=pk)


@login_required
def deployment_list(request: HttpRequest) -> HttpResponse:
    """Deployments one may see, with how far each is."""
    require(request.user, "deployments.view")
    page = ListPage(request, DEPLOYMENTS, partial(_deployments, request))
    if "csv" in request.GET:
        return ListPage(request, DEPLOYMENTS, _deployments(request).with_counts()).as_csv()
    keys = [row.pk for row in page.page.object_list]
    counted = Deployment.objects.select_related("bundle").with_counts().in_bulk(keys)
    found = [counted[key] for key in keys]
    context: dict[str, Any] = {
        "list": page,
        "deployments": found,
        "may_change": can(request.user, "deployments.change"),
    }
    if live.is_fragment(request, "list"):
        facts = [tuple(getattr(row, name) for name in ROW_FACTS) for row in found]
        tag = live.etag(me(request).pk, page.shown, page.page.paginator.count, facts)
        return live.answer(request, "devices/partials/deployment_table.html", context, tag=tag)
    return live.private(render(request, "devices/deployment_list.html", context))


def _deployments(request: HttpRequest) -> DeploymentQuerySet:
    return Deployment.objects.visible_to(request.user)


@login_required
def deployment_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Where it stands as a whole and on each device; follows by itself until all has ended."""
    deployment = find_deployment(request, pk)
    page = ListPage(request, TARGETS, partial(_targets, request, deployment))
    if "csv" in request.GET:
        return page.as_csv()
    is_fragment = live.is_fragment(request, "board")
    facts = (deployment.status, *(getattr(deployment, name) for name in ROW_FACTS))
    tag = live.etag(me(request).pk, page.shown, facts, page.fingerprint(*TARGET_FACTS)) if is_fragment else ""
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    may_change = can(request.user, "deployments.change", deployment)
    at_work = Device.objects.filter(pk__in=deployment.targets.open().values("device"))
    context: dict[str, Any] = {
        "deployment": deployment,
        "list": page,
        "is_fragment": is_fragment,
        "lanes": lanes(deployment),
        "seconds": live.SECONDS_BUSY if deployment.open_count else live.SECONDS_CALM,
        "may_change": may_change,
        "may_cancel": may_change and deployment.is_open and reaches_all(request.user, at_work),
        "may_retry": may_change and deployment.failed_count,
        "may_roll_back": may_change and deployment.done_count,
    }
    if is_fragment:
        is_final = not deployment.open_count
        return live.answer(request, "devices/partials/board.html", context, tag=tag, is_final=is_final)
    return live.private(render(request, "devices/deployment_detail.html", context))


def _targets(request: HttpRequest, deployment: Deployment) -> TargetQuerySet:
    rows = DeploymentTarget.objects.visible_to(request.user).filter(deployment=deployment)
    return rows.select_related("device__region", "bundle")


def lanes(deployment: Any) -> list[tuple[str, str, int, str]]:
    """Kind and value of the badge, how many stand there, and the filter that shows them."""
    waiting = deployment.open_count - deployment.active_count
    other = deployment.total - deployment.open_count - deployment.done_count - deployment.failed_count
    return [
        ("waiting", "Waiting", waiting, _filter(*NOT_BEGUN)),
        ("installing", "In progress", deployment.active_count, _filter(*ACTIVE)),
        ("succeeded", "Proven", deployment.done_count, _filter(T.SUCCEEDED)),
        ("failed", "Failed", deployment.failed_count, _filter(T.FAILED, T.ROLLED_BACK)),
        ("cancelled", "Called off", other, _filter(T.CANCELLED, T.SUPERSEDED)),
    ]


def _filter(*statuses: str) -> str:
    return "&".join(f"status={status}" for status in statuses)


@login_required
def deployment_cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Call it off, after saying whom that leaves where."""
    deployment = find_deployment(request, pk)
    require(request.user, "deployments.change", deployment)
    waiting = deployment.open_count - deployment.active_count
    return page_forms.confirm(
        request,
        title=f"Call off {deployment}?",
        text="What is installed stays installed.",
        lost=[
            f"{waiting} devices that wait are not offered it",
            f"{deployment.active_count} devices that work on it are told to stop",
        ],
        action="Call off",
        back=deployment.get_absolute_url(),
        do=lambda: services.cancel_deployment(deployment, actor=me(request), reason=request.POST.get("reason", "")),
        done=f"{deployment} is called off.",
        result_url=deployment.get_absolute_url(),
        reason_label="Reason (optional)",
    )


@login_required
@require_POST
def deployment_retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A new deployment for the devices on which this one failed."""
    deployment = find_deployment(request, pk)
    require(request.user, "deployments.change", deployment)
    try:
        again = services.retry_failed(deployment, actor=me(request))
    except HubError as error:
        messages.error(request, error.message)
        return redirect(deployment.get_absolute_url())
    tell(request, "It is tried again where it failed.", again.get_absolute_url())
    return redirect(again.get_absolute_url())


@login_required
def deployment_roll_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send the devices on which it succeeded back, each to its own last good bundle; who cannot is said before."""
    deployment = find_deployment(request, pk)
    require(request.user, "deployments.change", deployment)
    devices = services.reached_by(deployment, actor=me(request))
    if request.method == "POST":
        try:
            made = services.rollback_devices(devices, actor=me(request), parent=deployment)
        except HubError as error:
            messages.error(request, error.message)
            return redirect(deployment.get_absolute_url())
        tell(request, "The devices are sent back.", made.deployment.get_absolute_url())
        return redirect(made.deployment.get_absolute_url())
    ways = ways_back(devices)
    going: dict[str, list[str]] = {}
    for way in ways:
        if way.is_open:
            going.setdefault(str(way.bundle), []).append(way.device.name)
    closed = [(way.device, list(way.reasons)) for way in ways if not way.is_open]
    context = {
        "deployment": deployment,
        "going": [(bundle, len(names), names[:NAMED]) for bundle, names in going.items()],
        "number": sum(map(len, going.values())),
        "refused": group_by_reason(closed),
    }
    return live.private(render(request, "devices/deployment_roll_back.html", context))


@login_required
def target_force_quit(request: HttpRequest, pk: UUID, target: int) -> HttpResponse:
    """End it for one device that does not answer."""
    deployment = find_deployment(request, pk)
    row = get_object_or_404(_targets(request, deployment), pk=target)
    require(request.user, "deployments.change", deployment)
    return page_forms.confirm(
        request,
        title=f"End it for {row.device.name} without the device?",
        text="The hub stops waiting for it. What the device does in the end is its own affair.",
        action="End it",
        back=deployment.get_absolute_url(),
        do=lambda: services.force_quit(row, actor=me(request)),
        done=f"{row.device.name} is not waited for any more.",
        result_url=row.device.get_absolute_url(),
    )
