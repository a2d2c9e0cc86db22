"""The list of servers and what is done with several at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts import quotas
from accounts.permissions import can
from hub.exceptions import HubError
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me
from servers import services
from servers.lists import spec_for
from servers.models import GameServer
from servers.presentation import row_tag

MOST_AT_ONCE = 100
BULK: dict[str, tuple[str, Callable[..., Any]]] = {
    "start": ("Start", services.start_server),
    "stop": ("Stop", services.stop_server),
    "restart": ("Restart", services.restart_server),
    "kill": ("Kill", services.kill_server),
    "delete": ("Delete", services.delete_server),
}


@dataclass(frozen=True)
class Result:
    """What a verb came to for one server."""

    server: GameServer
    is_done: bool
    text: str


@login_required
def server_list(request: HttpRequest) -> HttpResponse:
    """Servers one may see."""
    rows = GameServer.objects.visible_to(request.user).alive().with_details()
    page = ListPage(request, spec_for(request.user), rows)
    if "csv" in request.GET:
        return page.as_csv()
    servers = list(page.page.object_list)
    tag = row_tag(servers, request.user.pk, page.page.paginator.count, sorted(page.shown))
    if live.is_fragment(request, "list") and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    context = {"list": page, "servers": servers, "may_create": can(request.user, "servers.create")}
    if live.is_fragment(request, "list"):
        return live.answer(request, "servers/partials/server_table.html", context, tag=tag)
    if not servers and not page.is_narrowed and context["may_create"]:
        context["quota"] = quotas.quota_for(me(request))
    return live.private(render(request, "servers/server_list.html", context))


@login_required
@require_POST
def server_bulk(request: HttpRequest) -> HttpResponse:
    """One verb for the ticked servers, with the result of each. Deleting asks first and wants a word typed."""
    verb = request.POST.get("verb", "")
    servers = _ticked(request)
    if verb not in BULK or not servers:
        messages.warning(request, "Tick some servers first.")
        return redirect("servers:server_list")
    label, service = BULK[verb]
    phrase = f"delete {len(servers)}"
    if verb == "delete" and request.POST.get("typed", "").strip() != phrase:
        context = {"servers": servers, "phrase": phrase, "typed": request.POST.get("typed")}
        return render(request, "servers/server_bulk_confirm.html", context)
    results = [_try(service, server, request.user) for server in servers]
    done = sum(result.is_done for result in results)
    return render(request, "servers/server_bulk.html", {"label": label, "results": results, "done": done})


def _try(service: Callable[..., Any], server: GameServer, user: Any) -> Result:
    try:
        operation = service(server, actor=user)
    except HubError as error:
        return Result(server, is_done=False, text=error.message)
    return Result(server, is_done=True, text="Asked." if operation else "Nothing to do: it was asked already.")


def _ticked(request: HttpRequest) -> list[GameServer]:
    ids = []
    for text in request.POST.getlist("ids")[:MOST_AT_ONCE]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return list(GameServer.objects.visible_to(request.user).alive().with_details().filter(pk__in=ids).order_by("name"))
