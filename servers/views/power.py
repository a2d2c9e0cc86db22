"""Start, stop, restart, kill, delete, suspend."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from hub.exceptions import Conflict, LimitReached
from hub.nodes.choices import ObservedStatus
from hub.pages import forms as page_forms
from hub.pages.requests import tell
from servers import services
from servers.models import GameServer
from servers.services import state

from .common import answer_action, find_server

VERBS: dict[str, tuple[Any, str]] = {
    "start": (services.start_server, "{} is being started."),
    "stop": (services.stop_server, "{} is being stopped."),
    "restart": (services.restart_server, "{} is being restarted."),
    "unsuspend": (services.unsuspend_server, "{} may be started again."),
}


@login_required
@require_POST
def server_power(request: HttpRequest, pk: UUID, verb: str) -> HttpResponse:
    """One click; a refusal is said and leaves the page as it is."""
    server = find_server(request, pk)
    service, words = VERBS[verb]
    try:
        if service(server, actor=request.user):
            tell(request, words.format(server.name), _operations(server))
        else:
            messages.info(request, "That was asked already.")
    except (Conflict, LimitReached) as error:
        messages.error(request, error.message)
    return answer_action(request, server)


@login_required
def server_kill(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask, then end it at once."""
    server = find_server(request, pk)
    state.may(request.user, "kill", server)
    return page_forms.confirm(
        request,
        title=f"Kill {server.name}?",
        text="It ends at once, without saving. Stop it instead unless it hangs.",
        action="Kill server",
        back=server.get_absolute_url(),
        do=lambda: services.kill_server(server, actor=request.user),
        done=f"{server.name} is being killed.",
        result_url=_operations(server),
    )


@login_required
def server_delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say what will be lost, want the name typed, then delete."""
    server = find_server(request, pk)
    state.may(request.user, "delete", server)
    lost = ["Its world and all its other data, at once and for good"]
    if server.address:
        lost.append(f"The address {server.address}")
    if server.observed_status == ObservedStatus.RUNNING and (players := server.facts.get("players")):
        lost.append(f"The game of the {players} players who are on it now")
    return page_forms.confirm(
        request,
        title=f"Delete {server.name}?",
        text="This cannot be undone. Gone will be:",
        lost=lost,
        action="Delete server",
        must_type=server.name,
        back=server.get_absolute_url(),
        do=lambda: services.delete_server(server, actor=request.user),
        done=f"{server.name} is being deleted.",
        result_url=_operations(server),
    )


@login_required
@require_POST
def server_suspend(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop it and forbid its start, with a reason that the owner reads."""
    server = find_server(request, pk)
    try:
        services.suspend_server(server, actor=request.user, reason=request.POST.get("reason", ""))
        messages.success(request, f"{server.name} is suspended.")
    except Conflict as error:
        messages.error(request, error.message)
    return answer_action(request, server)


def _operations(server: GameServer) -> str:
    """Where one sees what becomes of a wish."""
    return reverse("servers:server_operations", args=[server.pk])
