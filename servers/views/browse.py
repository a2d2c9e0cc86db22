"""The list of servers and what is done with several at once."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from accounts import quotas
from accounts.permissions import can
from hub import bulk
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me
from servers import services
from servers.listed import ListedServer, listed_columns
from servers.lists import spec_for
from servers.models import GameServer
from servers.presentation import ROW_FACTS
from servers.querysets import GameServerQuerySet
from servers.rows import table_rows


@login_required
def server_list(request: HttpRequest) -> HttpResponse:
    """Servers one may see."""
    if "csv" in request.GET:
        return ListPage(request, spec_for(request.user), _servers(request).with_details()).as_csv()
    page = ListPage(request, spec_for(request.user), partial(_servers, request))
    is_fragment = live.is_fragment(request, "list")
    tag = live.etag(me(request).pk, page.shown, page.fingerprint(*ROW_FACTS)) if is_fragment else ""
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    context: dict[str, Any] = {"list": page, "may_create": can(request.user, "servers.create")}
    if not is_fragment:
        context["tabs"] = page.tabs
    servers = [ListedServer(row) for row in page.fetch(listed_columns)]
    context |= {"servers": servers, "rows": table_rows(servers, [column.key for column in page.columns])}
    if is_fragment:
        return live.answer(request, "servers/partials/server_table.html", context, tag=tag)
    if not servers and not page.is_narrowed and context["may_create"]:
        context["quota"] = quotas.quota_for(me(request))
    return live.private(render(request, "servers/server_list.html", context))


def _servers(request: HttpRequest) -> GameServerQuerySet:
    return GameServer.objects.visible_to(request.user).alive()


@login_required
@require_POST
def server_bulk(request: HttpRequest) -> HttpResponse:
    """One verb for the ticked servers, with the result of each. Deleting asks first and wants a word typed."""
    verb = request.POST.get("verb", "")
    servers = _ticked(request)
    if verb not in services.POWERS or not servers:
        messages.warning(request, "Tick some servers first.")
        return redirect("servers:server_list")
    phrase = f"delete {len(servers)}"
    if verb == "delete" and request.POST.get("typed", "").strip() != phrase:
        question = {"servers": servers, "phrase": phrase, "typed": request.POST.get("typed")}
        return render(request, "servers/server_bulk_confirm.html", question)
    results = services.ask_many([server.pk for server in servers], verb, actor=request.user)
    done = sum(result.is_done for result in results)
    context = {"label": verb.capitalize(), "results": results, "done": done}
    return render(request, "servers/server_bulk.html", context)


def _ticked(request: HttpRequest) -> list[GameServer]:
    ids = []
    for text in request.POST.getlist("ids")[: bulk.MOST]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return list(GameServer.objects.visible_to(request.user).alive().with_details().filter(pk__in=ids).order_by("name"))
