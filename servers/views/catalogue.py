"""The templates that servers are made from."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.permissions import can, reaches_any, require
from hub.exceptions import HubError
from hub.nodes.choices import ObservedStatus
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me
from servers import services
from servers.lists import templates_for
from servers.models import Template, TemplateTrial
from servers.template_forms import TemplateEditor


@login_required
def template_list(request: HttpRequest) -> HttpResponse:
    """What one may make servers from."""
    templates = Template.objects.visible_to(request.user)
    if reaches_any(request.user, "servers.view"):
        alive = ~Q(servers__observed_status=ObservedStatus.DELETED) & Q(servers__isnull=False)
        templates = templates.annotate(server_count=Count("servers", filter=alive))
    page = ListPage(request, templates_for(request.user), templates)
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "may_change": can(request.user, "templates.change")}
    return render(request, "servers/template_list.html", context)


@login_required
def template_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """How a template runs, what it needs and what can be set."""
    template = get_object_or_404(Template.objects.visible_to(request.user).with_variables(), slug=slug)
    may_change = can(request.user, "templates.change")
    may_edit = may_change and (not template.process_command or can(request.user, "nodes.change"))
    variables = [v for v in template.variables.all() if v.is_visible or may_change]
    context = {
        "template": template,
        "variables": variables,
        "may_change": may_change,
        "may_edit": may_edit,
        "trial": _latest_trial(template) if may_change else None,
    }
    return render(request, "servers/template_detail.html", context)


@login_required
def template_create(request: HttpRequest) -> HttpResponse:
    """Make a template."""
    require(request.user, "templates.change")
    return _edit(request, None)


@login_required
def template_update(request: HttpRequest, slug: str) -> HttpResponse:
    """Change a template, its ports and its variables; servers take it at their next start."""
    template = get_object_or_404(Template.objects.visible_to(request.user).with_variables(), slug=slug)
    require(request.user, "templates.change", template)
    services.refuse_programs(template, me(request))
    return _edit(request, template)


def _edit(request: HttpRequest, template: Template | None) -> HttpResponse:
    editor = TemplateEditor(request.POST if request.method == "POST" else None, template)
    if request.method == "POST" and editor.is_valid():
        try:
            if template is None:
                saved = services.create_template(actor=me(request), **editor.values())
            else:
                saved = services.update_template(template, actor=me(request), **editor.values())
        except HubError as error:
            editor.blame(error)
        else:
            messages.success(request, f"Template {saved.name} saved.")
            return redirect(saved.get_absolute_url())
    context = {"template": template, "editor": editor, "form": editor.form}
    return render(request, "servers/template_form.html", context, status=422 if editor.has_errors else 200)


@login_required
@require_POST
def template_try(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a short-lived server of the template."""
    template = get_object_or_404(Template.objects.visible_to(request.user), slug=slug)
    require(request.user, "templates.change", template)
    try:
        services.try_template(template, actor=me(request))
    except HubError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{template.name} is being tried.")
    return redirect(template.get_absolute_url())


@login_required
def template_trial(request: HttpRequest, slug: str) -> HttpResponse:
    """What came of the latest trial, asked for until it has ended."""
    template = get_object_or_404(Template.objects.visible_to(request.user), slug=slug)
    require(request.user, "templates.change", template)
    trial = _latest_trial(template)
    server = trial.server if trial else None
    tag = live.etag(trial and (trial.pk, trial.status), server and (server.observed_status, server.status_reason))
    context = {"template": template, "trial": trial}
    is_over = trial is None or not trial.is_open
    return live.answer(request, "servers/partials/trial.html", context, tag=tag, is_final=is_over)


def _latest_trial(template: Template) -> TemplateTrial | None:
    return template.trials.select_related("server").first()
