"""What the pages of servers share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from hub.nodes.choices import ObservedStatus
from hub.pages import live
from servers.models import GameServer
from servers.presentation import Head

TABS = (
    ("detail", "Overview"),
    ("charts", "Charts"),
    ("log", "Log"),
    ("console", "Console"),
    ("operations", "Operations"),
    ("settings", "Settings"),
    ("activity", "Activity"),
)


def find_server(request: HttpRequest, pk: UUID) -> GameServer:
    """A server that one may see, with all that pages show of it; a deleted one still has its page."""
    server: GameServer = get_object_or_404(GameServer.objects.visible_to(request.user).with_details(), pk=pk)
    return server


def show(
    request: HttpRequest, server: GameServer, tab: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """One tab of a server's page."""
    facts = {"server": server, "head": Head(server, request.user), "tab": tab, "tabs": TABS, **context}
    return live.private(render(request, f"servers/server_{tab}.html", facts, status=status))


def answer_action(request: HttpRequest, server: GameServer) -> HttpResponse:
    """After a button: the top of the page anew for a script, with the message as a toast; else the page itself."""
    if live.is_fragment(request, "server-head"):
        fresh = find_server(request, server.pk)
        context = {"server": fresh, "head": Head(fresh, request.user), "with_toasts": True}
        return live.private(render(request, "servers/partials/server_head.html", context))
    if server.observed_status == ObservedStatus.DELETED:
        return redirect("servers:server_list")
    came_from = request.POST.get("next", "")
    stood_in_list = came_from.partition("?")[0] == reverse("servers:server_list")
    return redirect(came_from if stood_in_list else server.get_absolute_url())
