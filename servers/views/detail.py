"""One server: its overview, log, operations, settings and activity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from accounts.models import AuditEntry
from accounts.permissions import can
from hub.exceptions import HubError
from hub.nodes.lists import OPERATIONS_OF_ONE
from hub.nodes.models import Operation
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me
from servers import services
from servers.forms import RenameForm, ResizeForm, VariablesForm
from servers.models import GameServer
from servers.presentation import Head, credentials_html, head_tag, log_html

from .common import find_server, show

REVEALED_SECONDS = 30
LATEST_OPERATIONS = 6
ACTIVITIES = 100
LOG_TAIL_LINES = 12
SECRETS_GO_HERE = "<!-- secrets -->"


@login_required
def server_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Is it well, where is it, who uses it; with the tail of its log and its latest operations."""
    server = find_server(request, pk)
    context = {**_body(request, server), "ports": _ports(server)}
    return show(request, server, "detail", context)


@login_required
def server_head(request: HttpRequest, pk: UUID) -> HttpResponse:
    """State, address and buttons, asked for again and again; ends when the server is gone."""
    tag = head_tag(me(request), pk)
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    server = find_server(request, pk)
    head = Head(server, request.user)
    context = {"server": server, "head": head}
    return live.answer(request, "servers/partials/server_head.html", context, tag=tag, is_final=head.is_gone)


@login_required
def server_body(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The live part of the overview."""
    server = find_server(request, pk)
    context = {"server": server, **_body(request, server)}
    latest = [(row.pk, row.status) for row in context["operations"]]
    tag = live.etag(server.pk, latest, context["log_at"], server.started_at, server.facts)
    return live.answer(request, "servers/partials/server_body.html", context, tag=tag, is_final=server.is_deleted)


@login_required
def server_log(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The newest output; asking for it makes the node's agent bring more."""
    server = find_server(request, pk)
    stored = services.read_log(server, actor=request.user)
    context = {"server": server, "log": stored, "lines": log_html(stored.text)}
    if live.is_fragment(request, "server-log"):
        tag = live.etag(server.pk, stored.captured_at)
        return live.answer(request, "servers/partials/log.html", context, tag=tag, is_final=server.is_deleted)
    return show(request, server, "log", context)


@login_required
def server_charts(request: HttpRequest, pk: UUID) -> HttpResponse:
    """All that is measured of it, over a range in the URL."""
    return show(request, find_server(request, pk), "charts", {})


@login_required
def server_operations(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What was asked of it, newest first."""
    server = find_server(request, pk)
    page = ListPage(request, OPERATIONS_OF_ONE, Operation.objects.filter(workload_id=server.pk))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "server": server, "is_of_one": True}
    if live.is_fragment(request, "list"):
        tag = live.etag(server.pk, page.shown, page.fingerprint("pk", "status", "error"))
        return live.answer(request, "nodes/partials/operation_table.html", context, tag=tag, is_final=server.is_deleted)
    return show(request, server, "operations", context)


@login_required
def server_activity(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Who did what with it. Addresses of people are for those who may read the audit trail."""
    server = find_server(request, pk)
    entries = AuditEntry.objects.filter(target_kind="gameserver", target_id=str(server.pk))[:ACTIVITIES]
    return show(request, server, "activity", {"entries": entries, "may_audit": can(request.user, "audit.view")})


@login_required
def server_settings(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name, limits, the template's settings, ports; each form is sent by itself."""
    server = find_server(request, pk)
    asked = request.POST.get("form", "")
    forms: dict[str, Any] = {
        "rename": RenameForm(
            request.POST if asked == "rename" else None,
            initial={"name": server.name, "description": server.description},
            auto_id="rename_%s",
        ),
        "resize": ResizeForm(
            request.POST if asked == "resize" else None,
            template=server.template,
            initial=ResizeForm.of_server(server),
            auto_id="resize_%s",
        ),
        "variables": VariablesForm(
            request.POST if asked == "variables" else None, server=server, user=me(request), auto_id="set_%s"
        ),
    }
    if request.method == "POST" and asked in forms and forms[asked].is_valid():
        if page_forms.call(forms[asked], _SAVERS[asked], server, forms[asked], request.user):
            messages.success(request, _saved_words(server))
            return redirect("servers:server_settings", pk=server.pk)
        server = find_server(request, pk)
    has_errors = any(form.errors for form in forms.values())
    return show(
        request, server, "settings", {"forms": forms, "ports": _ports(server)}, status=422 if has_errors else 200
    )


@login_required
@sensitive_variables()
def server_credentials(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Passwords: hidden on GET, shown once per POST, which is audited.

    The markup that holds them is put in after rendering, so that they are in no template's context, and no cache may
    keep the answer.
    """
    server = find_server(request, pk)
    is_piece = live.is_fragment(request)
    if request.method != "POST":
        if not is_piece:
            return redirect(server.get_absolute_url())
        return live.private(render(request, "servers/partials/credentials.html", {"server": server}))
    credentials = services.reveal_credentials(server, actor=request.user)
    template = "servers/partials/credentials_open.html" if is_piece else "servers/server_credentials.html"
    context = {
        "server": server,
        "head": Head(server, request.user),
        "here": SECRETS_GO_HERE,
        "seconds": REVEALED_SECONDS,
    }
    page = render_to_string(template, context, request)
    response = HttpResponse(page.replace(SECRETS_GO_HERE, credentials_html(credentials)))
    response["Cache-Control"] = "no-store"
    return response


@login_required
@require_POST
def server_rotate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make all passwords new."""
    server = find_server(request, pk)
    services.rotate_credentials(server, actor=request.user)
    messages.success(request, "All passwords are new. A server that runs takes them at its next start.")
    return redirect(server.get_absolute_url())


@login_required
@require_POST
def server_port(request: HttpRequest, pk: UUID, port_name: str, verb: str) -> HttpResponse:
    """Move, publish or withdraw one port."""
    server = find_server(request, pk)
    try:
        if verb == "move":
            services.move_port(server, actor=request.user, port_name=port_name, reason=request.POST.get("reason", ""))
            messages.success(request, "It has another address now.")
        elif verb == "publish":
            services.publish_port(server, actor=request.user, port_name=port_name)
            messages.success(request, f"Port {port_name} is open to everybody.")
        else:
            services.unpublish_port(server, actor=request.user, port_name=port_name)
            messages.success(request, f"Port {port_name} is reached by the hub only.")
    except HubError as error:
        messages.error(request, error.message)
    return redirect("servers:server_settings", pk=server.pk)


def _rename(server: GameServer, form: RenameForm, user: Any) -> GameServer:
    return services.rename_server(server, actor=user, **form.changes())


def _resize(server: GameServer, form: ResizeForm, user: Any) -> GameServer:
    return services.resize_server(server, actor=user, **form.limits())


def _set(server: GameServer, form: VariablesForm, user: Any) -> GameServer:
    return services.update_variables(server, actor=user, values=form.values())


_SAVERS: dict[str, Callable[..., GameServer]] = {"rename": _rename, "resize": _resize, "variables": _set}


def _saved_words(server: GameServer) -> str:
    return "Saved. Restart it to make the change work." if server.needs_restart else "Saved."


def _body(request: HttpRequest, server: GameServer) -> dict[str, Any]:
    may_log = can(request.user, "servers.console", server)
    stored = services.read_log(server, actor=request.user) if may_log else None
    tail = "\n".join(stored.text.splitlines()[-LOG_TAIL_LINES:]) if stored else ""
    return {
        "operations": list(Operation.objects.filter(workload_id=server.pk)[:LATEST_OPERATIONS]),
        "may_log": may_log,
        "log_at": stored.captured_at if stored else None,
        "tail": log_html(tail),
    }


def _ports(server: GameServer) -> list[dict[str, Any]]:
    """Each named port of the template with the address it holds."""
    held = {address.name: address for address in server.leased_addresses}
    return [
        {
            "name": port.name,
            "is_always_public": port.is_public,
            "is_published": port.name in server.published_ports,
            "is_console": port.is_console,
            "address": held.get(port.name),
        }
        for port in server.template.named_ports
    ]
