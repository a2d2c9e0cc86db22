"""The way to a deployment: say what goes where and how, see whom it reaches, start it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from accounts.permissions import require
from devices.deployments import services
from devices.deployments.forms import DeploymentForm
from devices.deployments.suits import group_by_reason
from devices.models import Device
from hub import bulk
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.requests import me, tell

NAMED = 20


@login_required
def deployment_create(request: HttpRequest) -> HttpResponse:
    """One form, then a preview of who gets it and who cannot and why; what was typed goes along until it is started."""
    require(request.user, "deployments.change")
    step = request.POST.get("step", "")
    form = DeploymentForm(request.POST or None, user=me(request), initial=_initial(request))
    if request.method == "POST" and step != "change" and form.is_valid():
        if step == "start":
            made = page_forms.call(form, services.create_deployment, *form.asked(), actor=me(request))
            if made:
                left_out = f" {len(made.refused)} devices are left out." if made.refused else ""
                here = made.deployment.get_absolute_url()
                tell(request, f"The deployment is made.{left_out}", here)
                return redirect(here)
        else:
            preview = page_forms.call(form, services.preview_deployment, *form.asked(), actor=me(request))
            if preview:
                return _preview(request, form, preview)
    status = 422 if step != "change" and form.errors else 200
    return live.private(render(request, "devices/deployment_form.html", {"form": form}, status=status))


def _preview(request: HttpRequest, form: DeploymentForm, preview: Any) -> HttpResponse:
    bundle = form.cleaned_data["bundle"]
    context = {
        "form": form,
        "bundle": bundle,
        "terms": form.asked()[2],
        "number": len(preview.eligible),
        "names": [each.name for each in preview.eligible[:NAMED]],
        "busy": sum(1 for each in preview.eligible if each.active),
        "refused_number": len(preview.refused),
        "refused": group_by_reason(preview.refused),
        "megabytes": len(preview.eligible) * (bundle.stored_bytes or bundle.size_bytes) / 2**20,
        "kept": [(name, value) for name, values in request.POST.lists() for value in values if name in form.fields],
    }
    return live.private(render(request, "devices/deployment_preview.html", context))


def _initial(request: HttpRequest) -> dict[str, Any]:
    """What a link may ask for: a bundle, a group, devices."""
    names = []
    for text in request.GET.getlist("device")[: bulk.MOST]:
        try:
            names.append(UUID(text))
        except ValueError:
            continue
    seen = Device.objects.visible_to(request.user).filter(pk__in=names)
    return {
        "bundle": request.GET.get("bundle"),
        "groups": request.GET.getlist("group"),
        "devices": "\n".join(f"#{number}" for number in seen.values_list("number", flat=True)),
    }
