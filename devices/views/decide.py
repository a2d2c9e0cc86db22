"""What is decided about one device: at once where it can be taken back, after a question where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.permissions import require
from devices import services
from hub.exceptions import Conflict
from hub.pages import forms as page_forms
from hub.pages.requests import me, tell

from .common import find_device

AT_ONCE: dict[str, tuple[Callable[..., Any], str]] = {
    "accept": (services.accept_device, "{} is accepted."),
    "resume": (services.resume_device, "{} is resumed."),
    "accept-key": (services.accept_key, "{} has its new key; all others are revoked."),
}
ABOUT_KEYS = ("accept", "accept-key")
ASKED: dict[str, tuple[Callable[..., Any], str, str, str]] = {
    "reject": (
        services.reject_device,
        "Reject {}?",
        "The hub does not deal with it. It may be accepted later.",
        "{} is rejected.",
    ),
    "suspend": (
        services.suspend_device,
        "Suspend {}?",
        "Its requests are refused and its tokens end at once, until somebody resumes it.",
        "{} is suspended.",
    ),
}


@login_required
@require_POST
def device_decide(request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
    """One click; a refusal is said and leaves the page as it is."""
    device = find_device(request, pk)
    service, words = AT_ONCE[verb]
    seen = {"fingerprint": request.POST.get("fingerprint", "")} if verb in ABOUT_KEYS else {}
    try:
        service(device, actor=me(request), **seen)
        tell(request, words.format(device.name), device.get_absolute_url())
    except Conflict as error:
        messages.error(request, error.message)
    return redirect(page_forms.back_url(request, device.get_absolute_url()))


@login_required
def device_ask(request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
    """Say what it means, take a reason, then do it."""
    device = find_device(request, pk)
    require(request.user, "devices.control", device)
    service, title, text, done = ASKED[verb]
    return page_forms.confirm(
        request,
        title=title.format(device.name),
        text=text,
        action=verb.capitalize(),
        back=device.get_absolute_url(),
        do=lambda: service(device, actor=me(request), reason=request.POST.get("reason", "")),
        done=done.format(device.name),
        result_url=device.get_absolute_url(),
        reason_label="Reason (optional)",
    )


@login_required
def device_decommission(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say what will be lost, want the name typed, then end it for good."""
    device = find_device(request, pk)
    require(request.user, "devices.control", device)
    return page_forms.confirm(
        request,
        title=f"Decommission {device.name}?",
        text="This cannot be undone. It means:",
        lost=[
            "All its keys are revoked and never taken again",
            "It leaves all its groups",
            "What is being deployed to it is called off",
            "Its identity cannot enrol again; its history stays",
        ],
        action="Decommission",
        must_type=device.name,
        back=device.get_absolute_url(),
        do=lambda: services.decommission_device(device, actor=me(request), reason=request.POST.get("reason", "")),
        done=f"{device.name} is decommissioned.",
        result_url=device.get_absolute_url(),
        reason_label="Reason (optional)",
    )


@login_required
def device_refuse_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Refuse the proposed key for good; the link says which one was looked at."""
    device, fingerprint = find_device(request, pk), request.GET.get("fingerprint", "")
    require(request.user, "devices.control", device)
    return page_forms.confirm(
        request,
        title=f"Refuse the key proposed for {device.name}?",
        text="That key is never taken again. The keys it has stay.",
        action="Refuse key",
        back=device.get_absolute_url(),
        do=lambda: services.refuse_key(device, actor=me(request), fingerprint=fingerprint),
        done="The key is refused.",
        result_url=device.get_absolute_url(),
    )
