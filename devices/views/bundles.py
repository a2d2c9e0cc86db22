"""Bundles: the list, one with its digests and use, uploading, invalidating; and the keys of those who publish them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST, require_safe

from accounts import audit
from accounts.permissions import can, require
from devices.bundles import services
from devices.bundles.choices import UPLOAD_PIECE_BYTES, BundleKind, BundleStatus
from devices.bundles.forms import PublisherForm, UploadForm
from devices.bundles.lists import BUNDLES, PUBLISHERS
from devices.bundles.models import Bundle, PublisherKey
from devices.bundles.serving import send_plain
from devices.models import Deployment
from hub.exceptions import HubError, NotFound
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

LATEST = 20
AFTER_USE = "It is gone for good, and its room is free. History stays, and nobody takes this version again."


def find_bundle(request: HttpRequest, pk: UUID) -> Bundle:
    """A bundle that one may see, without its content key."""
    rows = Bundle.objects.visible_to(request.user).select_related("publisher").defer("content_key")
    found: Bundle = get_object_or_404(rows, pk=pk)
    return found


@login_required
def bundle_list(request: HttpRequest) -> HttpResponse:
    """All bundles, the newest first."""
    require(request.user, "bundles.view")
    rows = Bundle.objects.visible_to(request.user).select_related("publisher").defer("content_key")
    page = ListPage(request, BUNDLES, rows)
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "may_change": can(request.user, "bundles.change")}
    return live.private(render(request, "devices/bundle_list.html", context))


@login_required
def bundle_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What it is, who vouches for it, and where it is."""
    bundle = find_bundle(request, pk)
    deployments: Any = Deployment.objects.visible_to(request.user).filter(bundle=bundle)
    may_change = can(request.user, "bundles.change", bundle)
    context = {
        "bundle": bundle,
        "running": services.running_on(bundle),
        "deployments": deployments.select_related("bundle").with_counts()[:LATEST],
        "manifest": json.dumps(bundle.manifest, indent=2, ensure_ascii=False) if bundle.manifest else "",
        "may_change": may_change,
        "may_deploy": bundle.is_ready and can(request.user, "deployments.change"),
        "piece_bytes": UPLOAD_PIECE_BYTES,
    }
    return live.private(render(request, "devices/bundle_detail.html", context))


@login_required
@require_safe
def bundle_file(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The file as it was uploaded, to be kept by a person; with ranges, so that a browser may go on with it."""
    bundle = find_bundle(request, pk)
    if bundle.status == BundleStatus.UPLOADING:
        raise NotFound("It has not arrived yet.")
    response = send_plain(request, bundle)
    end = "tar.gz" if bundle.kind == BundleKind.ARCHIVE else "bin"
    response["Content-Disposition"] = content_disposition_header(True, f"{bundle.name}-{bundle.version}.{end}") or ""
    if request.method == "GET" and "Range" not in request.headers and response.status_code == 200:
        audit.record(me(request), "bundle.downloaded", bundle)
    return response


@login_required
def bundle_upload(request: HttpRequest) -> HttpResponse:
    """Upload a bundle. A script sends it in pieces, with progress; without one, a small file goes in one step."""
    require(request.user, "bundles.change")
    form = UploadForm(request.POST or None, request.FILES or None)
    is_script = request.headers.get("Accept") == "application/json"
    if request.method == "POST" and form.is_valid():
        if is_script:
            bundle = page_forms.call(form, services.reserve_bundle, actor=me(request), **form.reserved())
            if bundle:
                return JsonResponse(_upload(bundle), status=201)
        elif not form.cleaned_data["file"]:
            form.add_error("file", "Choose a file.")
        else:
            bundle = page_forms.call(form, services.upload_bundle, actor=me(request), **form.whole())
            if bundle:
                messages.success(request, f"{bundle} is uploaded.")
                return redirect(bundle.get_absolute_url())
    if is_script:
        texts = [
            f"{form[name].label}: {text}" if name in form.fields else str(text)
            for name, found in form.errors.items()
            for text in found
        ]
        return JsonResponse({"problem": " ".join(texts)}, status=422)
    context = {
        "form": form,
        "piece_bytes": UPLOAD_PIECE_BYTES,
        "needs_signature": PublisherKey.objects.exists(),
    }
    return live.private(render(request, "devices/bundle_upload.html", context, status=422 if form.errors else 200))


def _upload(bundle: Bundle) -> dict[str, Any]:
    """What the script needs to go on."""
    url = bundle.get_absolute_url()
    return {"url": url, "piece_url": f"{url}/piece", "finish_url": f"{url}/finish", "received": bundle.received_bytes}


@login_required
@require_POST
def bundle_piece(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The next bytes, as they are."""
    bundle = find_bundle(request, pk)
    offset = request.GET.get("offset", "")
    try:
        done = services.append_piece(
            bundle, int(offset) if offset.isdecimal() and len(offset) < 19 else -1, request.body, actor=me(request)
        )
    except HubError as error:
        return JsonResponse({"problem": error.message}, status=error.status)
    return JsonResponse(_upload(done))


@login_required
@require_POST
def bundle_finish(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Check the whole and make it a bundle."""
    bundle = find_bundle(request, pk)
    require(request.user, "bundles.change", bundle)
    try:
        done = services.finish_upload(bundle, actor=me(request))
    except HubError as error:
        if request.headers.get("Accept") == "application/json":
            return JsonResponse({"problem": error.message}, status=error.status)
        messages.error(request, error.message)
        return redirect(bundle.get_absolute_url())
    messages.success(request, f"{done} is uploaded.")
    if request.headers.get("Accept") == "application/json":
        return JsonResponse(_upload(done))
    return redirect(done.get_absolute_url())


@login_required
def bundle_invalidate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send it to nobody any more, after showing what that means."""
    bundle = find_bundle(request, pk)
    require(request.user, "bundles.change", bundle)
    return page_forms.confirm(
        request,
        title=f"Invalidate {bundle}?",
        text="It stays, so that history can be read. This means:",
        lost=services.consequences(bundle).as_sentences(),
        action="Invalidate",
        must_type=str(bundle),
        back=bundle.get_absolute_url(),
        do=lambda: services.invalidate_bundle(bundle, actor=me(request), reason=request.POST.get("reason", "")),
        done=f"{bundle} is invalidated.",
        reason_label="Reason",
    )


@login_required
def bundle_delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove one that was never used, or an upload that is not wanted; of one that was used, the file alone."""
    bundle = find_bundle(request, pk)
    require(request.user, "bundles.change", bundle)
    return page_forms.confirm(
        request,
        title=f"Delete the file of {bundle}?" if bundle.is_fixed else f"Delete {bundle}?",
        text=AFTER_USE if bundle.is_fixed else "Its file is gone for good. Its name and version may be taken again.",
        action="Delete file" if bundle.is_fixed else "Delete bundle",
        back="/bundles/" if request.method == "POST" and not bundle.is_fixed else bundle.get_absolute_url(),
        do=lambda: services.delete_bundle(bundle, actor=me(request)),
        done=f"The file of {bundle} is deleted." if bundle.is_fixed else f"{bundle} is deleted.",
    )


@login_required
def publisher_list(request: HttpRequest) -> HttpResponse:
    """Keys whose signatures make files bundles, and the form of another."""
    require(request.user, "bundles.view")
    may_change = can(request.user, "publishers.change")
    form = PublisherForm(request.POST or None)
    if request.method == "POST":
        require(request.user, "publishers.change")
        if form.is_valid():
            key = page_forms.call(form, services.add_publisher, actor=me(request), **form.cleaned_data)
            if key:
                messages.success(request, f"Signatures of {key.name} are trusted from now on.")
                return redirect("devices:publisher_list")
    page = ListPage(request, PUBLISHERS, PublisherKey.objects.visible_to(request.user))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "form": form, "may_change": may_change}
    return live.private(render(request, "devices/publisher_list.html", context, status=422 if form.errors else 200))


@login_required
@require_POST
def publisher_switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Trust a key, or trust it no longer."""
    key = get_object_or_404(PublisherKey.objects.visible_to(request.user), pk=pk)
    enabled = request.POST.get("is_enabled") == "yes"
    services.set_publisher_enabled(key, enabled, actor=me(request))
    messages.success(request, f"{key.name} is trusted{'' if enabled else ' no longer'}.")
    return redirect("devices:publisher_list")
