"""Create a server: choose a template, fill in, see where it would run, create."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from accounts.permissions import require
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.requests import me, tell
from servers import services, usage
from servers.forms import ServerForm, region_cards
from servers.models import Template


@login_required
def server_create(request: HttpRequest) -> HttpResponse:
    """The form; `check` shows the preview without creating, for those without scripts."""
    require(request.user, "servers.create")
    templates = list(Template.objects.visible_to(request.user).order_by("name"))
    chosen = request.POST.get("template") or request.GET.get("template") or ""
    template = next((row for row in templates if row.slug == chosen), None)
    if template is None:
        only_one = templates[0] if len(templates) == 1 else None
        if only_one is None:
            return render(request, "servers/server_choose.html", {"templates": templates})
        template = only_one
    cards = region_cards(template)
    form = ServerForm(request.POST or None, template=template, user=me(request), initial=_initial(request, cards))
    if request.method == "POST" and "check" not in request.POST and form.is_valid():
        server = page_forms.call(form, _create, form=form, request=request)
        if server:
            tell(request, f"{server.name} is being made.", reverse("servers:server_operations", args=[server.pk]))
            return redirect(server.get_absolute_url())
    context = {
        "form": form,
        "template": template,
        "templates": templates,
        "regions": cards,
        "any_region": any(card["nodes"] for card in cards),
        "chosen_region": form["region"].value(),
        **_preview(request, form, template, cards),
    }
    return live.private(render(request, "servers/server_form.html", context, status=422 if form.errors else 200))


@login_required
def server_preview(request: HttpRequest) -> HttpResponse:
    """Where it would run and what would be left of the quota, for the form as it stands."""
    require(request.user, "servers.create")
    template = get_object_or_404(Template.objects.visible_to(request.user), slug=request.GET.get("template", ""))
    form = ServerForm(request.GET, template=template, user=me(request))
    context = {"template": template, **_preview(request, form, template, [])}
    return live.private(render(request, "servers/partials/preview.html", context))


def _create(*, form: ServerForm, request: HttpRequest) -> Any:
    values = form.cleaned_data
    return services.create_server(
        actor=me(request),
        name=values["name"],
        description=values["description"],
        **form.asked(),
    )


def _initial(request: HttpRequest, cards: list[dict[str, Any]]) -> dict[str, Any]:
    """What the address says (a template changed midway keeps what was typed), and the region one prefers."""
    usable = [card["slug"] for card in cards if card["nodes"]]
    preferred = getattr(request.user, "region_preference", "")
    region = preferred if preferred in usable else next(iter(usable), "")
    return {
        "region": region,
        **{name: request.GET[name] for name in ("name", "description", "region") if request.GET.get(name)},
    }


def _preview(request: HttpRequest, form: ServerForm, template: Template, cards: list[dict[str, Any]]) -> dict[str, Any]:
    """The preview and the quota bars; of an unbound form for its initial values."""
    asked = _asked(form, cards)
    owner = (asked or {}).get("owner") or me(request)
    owned = usage.of_owner(owner)
    limits, used = owned.limits, owned.totals
    preview = services.preview_server(actor=request.user, **asked) if asked else None
    wants = asked or {"memory_mb": 0, "disk_mb": 0, "cpu_percent": 0}
    bars = [
        _bar("Servers", used.servers, 1 if asked else 0, limits.servers, "number"),
        _bar("Memory", used.memory_mb, wants["memory_mb"], limits.memory_mb, "size"),
        _bar("Disk", used.disk_mb, wants["disk_mb"], limits.disk_mb, "disk"),
        _bar("Processor", used.cpu_percent, wants["cpu_percent"], limits.cpu_percent, "cores"),
    ]
    return {"preview": preview, "bars": bars}


def _asked(form: ServerForm, cards: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The arguments of a preview, as far as the form has them; a missing name or setting does not matter yet."""
    if not form.is_bound:
        region = next((card["region"] for card in cards if card["slug"] == form["region"].value()), None)
        if region is None:
            return None
        template = form.template
        limits = {name: getattr(template, f"default_{name}") for name in ("memory_mb", "disk_mb", "cpu_percent")}
        return {"template": template, "region": region, **limits}
    form.is_valid()
    cleaned = form.cleaned_data
    if not {"region", "memory", "disk", "cpu"} <= cleaned.keys():
        return None
    asked = {"template": form.template, "region": cleaned["region"], "owner": cleaned.get("owner")}
    return {**asked, **form.limits(), "published_ports": cleaned.get("published_ports", ())}


def _bar(label: str, used: int | None, more: int, limit: int | None, unit: str) -> dict[str, Any]:
    after = (used or 0) + more
    return {"label": label, "used": used or 0, "more": more, "after": after, "limit": limit, "unit": unit}
