"""Groups of devices and who is in them."""

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
from devices import services
from devices.forms import GroupForm, MembersForm
from devices.lists import GROUPS, MEMBERS
from devices.models import Device, DeviceGroup
from devices.presentation import device_badge
from devices.querysets import DeviceQuerySet
from hub import bulk
from hub.exceptions import HubError
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me


def find_group(request: HttpRequest, slug: str) -> DeviceGroup:
    """A group that one may see, with the number of its devices that one sees."""
    rows = DeviceGroup.objects.visible_to(request.user).with_members(request.user)
    return get_object_or_404(rows, slug=slug)


@login_required
def group_list(request: HttpRequest) -> HttpResponse:
    """All groups, and the form of a new one."""
    require(request.user, "devices.view")
    page = ListPage(request, GROUPS, DeviceGroup.objects.visible_to(request.user).with_members(request.user))
    if "csv" in request.GET:
        return page.as_csv()
    may_change = can(request.user, "devices.change")
    form = GroupForm(request.POST or None)
    if request.method == "POST":
        require(request.user, "devices.change")
        if form.is_valid():
            group = page_forms.call(form, services.create_group, actor=me(request), **form.cleaned_data)
            if group:
                messages.success(request, f"Group {group.name} is made. Put devices into it.")
                return redirect(group.get_absolute_url())
    context = {"list": page, "form": form, "may_change": may_change}
    return live.private(render(request, "devices/group_list.html", context, status=422 if form.errors else 200))


@login_required
def group_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Its devices, and the form that puts more into it."""
    group = find_group(request, slug)
    page = ListPage(request, MEMBERS, partial(_members, request, group))
    if "csv" in request.GET:
        return ListPage(request, MEMBERS, _members(request, group).prefetch_related("groups")).as_csv()
    form = MembersForm(request.POST or None, user=me(request))
    if request.method == "POST":
        require(request.user, "devices.change")
        if form.is_valid():
            moved = page_forms.call(
                form, services.set_members, group, actor=me(request), add=form.cleaned_data["names"]
            )
            if moved:
                messages.success(request, f"{moved[0]} devices came into {group.name}.")
                return redirect(group.get_absolute_url())
    rows: Any = page.page.object_list
    context = {
        "group": group,
        "list": page,
        "form": form,
        "devices": [(device, device_badge(device)) for device in rows.prefetch_related("groups")],
        "may_change": can(request.user, "devices.change"),
    }
    return live.private(render(request, "devices/group_detail.html", context, status=422 if form.errors else 200))


def _members(request: HttpRequest, group: DeviceGroup) -> DeviceQuerySet:
    return Device.objects.visible_to(request.user).filter(groups=group).with_details()


@login_required
def group_update(request: HttpRequest, slug: str) -> HttpResponse:
    """Change its name, description or priority."""
    group = find_group(request, slug)
    require(request.user, "devices.change")
    initial = {name: getattr(group, name) for name in ("name", "description", "priority")}
    form = GroupForm(request.POST or None, initial=initial)
    del form.fields["slug"]
    if request.method == "POST" and form.is_valid():
        saved = page_forms.call(form, services.update_group, group, actor=me(request), **form.changes())
        if saved:
            messages.success(request, "Saved.")
            return redirect(group.get_absolute_url())
    context = {"form": form, "group": group}
    return live.private(render(request, "devices/group_form.html", context, status=422 if form.errors else 200))


@login_required
@require_POST
def group_remove(request: HttpRequest, slug: str) -> HttpResponse:
    """Take the ticked devices out of it."""
    group = find_group(request, slug)
    require(request.user, "devices.change")
    ids = []
    for text in request.POST.getlist("ids")[: bulk.MOST]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    devices = list(_members(request, group).filter(pk__in=ids))
    try:
        _, gone = services.set_members(group, actor=me(request), remove=devices)
        messages.success(request, f"{gone} devices left {group.name}.")
    except HubError as error:
        messages.error(request, error.message)
    return redirect(group.get_absolute_url())


@login_required
def group_delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Remove the group; its devices stay."""
    group = find_group(request, slug)
    require(request.user, "devices.change")
    return page_forms.confirm(
        request,
        title=f"Delete the group {group.name}?",
        text="Its devices stay. Gone will be:",
        lost=["What they inherit from it, and its history", "Its place in deployments that are made later"],
        action="Delete group",
        must_type=group.slug,
        back="/device-groups/" if request.method == "POST" else group.get_absolute_url(),
        do=lambda: services.delete_group(group, actor=me(request)),
        done=f"{group.name} is deleted.",
    )
