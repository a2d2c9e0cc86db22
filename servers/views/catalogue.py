"""The templates that servers are made from."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.permissions import can, reaches_any
from hub.nodes.choices import ObservedStatus
from servers.models import Template


@login_required
def template_list(request: HttpRequest) -> HttpResponse:
    """What one may make servers from."""
    templates = Template.objects.visible_to(request.user)
    if reaches_any(request.user, "servers.view"):
        alive = ~Q(servers__observed_status=ObservedStatus.DELETED) & Q(servers__isnull=False)
        templates = templates.annotate(server_count=Count("servers", filter=alive))
    context = {"templates": templates, "may_change": can(request.user, "templates.change")}
    return render(request, "servers/template_list.html", context)


@login_required
def template_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """How a template runs, what it needs and what can be set."""
    template = get_object_or_404(Template.objects.visible_to(request.user).with_variables(), slug=slug)
    may_change = can(request.user, "templates.change")
    variables = [v for v in template.variables.all() if v.is_visible or may_change]
    context = {"template": template, "variables": variables, "may_change": may_change}
    return render(request, "servers/template_detail.html", context)
