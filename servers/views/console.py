"""The console of a server: what was sent and answered, and a line for the next command."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from hub.pages import forms as page_forms
from hub.pages import live
from servers import services
from servers.forms import CommandForm
from servers.models import GameServer

from .common import find_server, show

WITHOUT_SCRIPT_SECONDS = 3.0  # a page that is loaded whole waits a little, so that it shows the answer
SECONDS_OPEN = 1


@login_required
def server_console(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send a command, or see the answers of the last day."""
    server = find_server(request, pk)
    form = CommandForm(request.POST or None)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            command = page_forms.call(
                form, services.send_command, server, form.cleaned_data["text"], actor=request.user
            )
            if command is not None:
                if live.is_fragment(request, "server-console"):
                    return _transcript(request, server)
                services.await_answer(command, seconds=WITHOUT_SCRIPT_SECONDS)
                return redirect("servers:server_console", pk=server.pk)
        status = 422
    elif live.is_fragment(request, "server-console"):
        return _transcript(request, server)
    commands = services.latest_commands(server, actor=request.user)
    context = {"commands": commands, "form": form, "seconds": _seconds(commands)}
    return show(request, server, "console", context, status=status)


def _transcript(request: HttpRequest, server: GameServer) -> HttpResponse:
    commands = services.latest_commands(server, actor=request.user)
    tag = live.etag(server.pk, [(row.command.pk, row.command.status) for row in commands])
    context = {"server": server, "commands": commands, "seconds": _seconds(commands)}
    return live.answer(request, "servers/partials/console.html", context, tag=tag, is_final=server.is_deleted)


def _seconds(commands: list[services.Exchange]) -> int:
    return SECONDS_OPEN if any(row.command.is_open for row in commands) else live.SECONDS_CALM
