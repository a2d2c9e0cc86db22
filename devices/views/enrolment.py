"""Who wants to be a device of this hub: the queue, records made ahead, and tokens that let in without asking."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_variables

from accounts.permissions import can, require
from devices import services
from devices.forms import PreauthoriseForm, TokenForm
from devices.lists import ENROLMENT, TOKENS, in_queue
from devices.models import Device, EnrolmentToken
from devices.querysets import DeviceQuerySet
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

GOES_HERE = "<!-- shown once -->"


@login_required
def enrolment_queue(request: HttpRequest) -> HttpResponse:
    """Devices to decide about, and those that are expected; new ones appear by themselves."""
    require(request.user, "devices.view")
    page = ListPage(request, ENROLMENT, partial(_waiting, request))
    if "csv" in request.GET:
        return ListPage(request, ENROLMENT, _waiting(request).prefetch_related("keys")).as_csv()
    is_fragment = live.is_fragment(request, "list")
    tag = live.etag(me(request).pk, page.shown, page.fingerprint("pk", "name", "status")) if is_fragment else ""
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    context: dict[str, Any] = {
        "list": page,
        "may_decide": can(request.user, "devices.control"),
        "may_change": can(request.user, "devices.change"),
    }
    if not is_fragment:
        context["tabs"] = page.tabs
    rows: Any = page.page.object_list
    context["devices"] = list(rows.prefetch_related("keys"))
    if is_fragment:
        return live.answer(request, "devices/partials/enrolment_table.html", context, tag=tag)
    return live.private(render(request, "devices/enrolment.html", context))


def _waiting(request: HttpRequest) -> DeviceQuerySet:
    return Device.objects.visible_to(request.user).filter(in_queue()).select_related("region")


@login_required
def device_preauthorise(request: HttpRequest) -> HttpResponse:
    """Make the record of a device before it calls."""
    require(request.user, "devices.change")
    form = PreauthoriseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        device = page_forms.call(form, services.preauthorise_device, actor=me(request), **form.values())
        if device:
            messages.success(request, f"{device.name} is accepted when it first calls.")
            return redirect(device.get_absolute_url())
    return live.private(
        render(request, "devices/device_preauthorise.html", {"form": form}, status=422 if form.errors else 200)
    )


@login_required
@sensitive_variables("made", "secret")
def token_list(request: HttpRequest) -> HttpResponse:
    """Enrolment tokens, and the form of a new one, whose secret is shown on the answer and never again."""
    require(request.user, "devices.change")
    rows = EnrolmentToken.objects.visible_to(request.user).select_related("region", "group")
    page = ListPage(request, TOKENS, rows)
    if "csv" in request.GET:
        return page.as_csv()
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = page_forms.call(form, services.create_token, actor=me(request), **form.values())
        if made:
            token, secret = made
            return _show_once(request, token, secret)
    context = {"list": page, "form": form}
    return live.private(render(request, "devices/token_list.html", context, status=422 if form.errors else 200))


@sensitive_variables("secret")
def _show_once(request: HttpRequest, token: EnrolmentToken, secret: str) -> HttpResponse:
    """The secret and the command for the agent, put in after rendering, so that they are in no template's context."""
    page = render_to_string("devices/token_created.html", {"token": token, "here": GOES_HERE}, request)
    command = f"kutanga-agent enrol --hub {settings.HUB_URL} --token {secret}"
    boxes = [
        format_html(
            '<div class="k-stack k-tight"><span class="k-small k-muted">{}</span><div class="k-copybox">'
            '<code class="k-whole">{}</code><button type="button" class="btn btn-sm k-js" data-copy="{}"'
            ' aria-label="Copy {}">Copy</button></div></div>',
            label,
            text,
            text,
            what,
        )
        for label, text, what in (("Token", secret, "token"), ("On the device", command, "command"))
    ]
    response = HttpResponse(page.replace(GOES_HERE, "".join(boxes)))
    response["Cache-Control"] = "no-store"
    return response


@login_required
def token_revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let nobody enrol with it any more."""
    token = get_object_or_404(EnrolmentToken.objects.visible_to(request.user), pk=pk)
    return page_forms.confirm(
        request,
        title=f"Revoke the token {token.name}?",
        text=f"Nobody can enrol with it any more. The {token.uses} devices that have, stay.",
        action="Revoke token",
        back=token.get_absolute_url(),
        do=lambda: services.revoke_token(token, actor=me(request)),
        done=f"{token.name} is revoked.",
    )
