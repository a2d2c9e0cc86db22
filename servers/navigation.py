"""Places, totals, concerns and searches of servers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Count as CountOf
from django.db.models import IntegerField, Q, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.urls import reverse

from accounts.permissions import can
from hub.nodes.choices import BROKEN, IN_PROGRESS, DesiredStatus, ObservedStatus
from hub.pages import overview, palette
from hub.pages.navigation import Count, Place, register
from hub.pages.overview import Concern, Contribution, Total
from hub.pages.states import badge, workload_badge
from hub.statements import statement, totals

from .listed import ListedServer, listed_columns
from .lists import find, find_template
from .models import GameServer, Template
from .services import allowed_actions

CONCERNS = 10


def _broken(user: Any) -> Count:
    counted = statement(("broken servers", user.reach), lambda: totals(_broken_servers(user), number=CountOf("pk")))
    return Count(counted.rows()[0][0] if counted.sql else 0, "bad")


def _broken_servers(user: Any) -> Any:
    return GameServer.objects.visible_to(user).broken()


register(
    Place("Servers", "Servers", "servers:server_list", "server", lambda user: can(user, "servers.view"), _broken, 10),
    Place(
        "Servers", "Templates", "servers:template_list", "box", lambda user: can(user, "templates.view"), position=20
    ),
)


def _overview(request: HttpRequest) -> Contribution:
    user: Any = request.user
    counted = statement(("counts of servers", user.reach), lambda: _counts(user)).rows()
    counts = dict(zip(COUNTS, counted[0] if counted else [0] * len(COUNTS), strict=True))
    url = reverse("servers:server_list")
    badges = [
        badge("workload", status, word=f"{counts[key]} {word}")
        for key, status, word in (
            ("failed", "failed", "not well"),
            ("busy", "starting", "in progress"),
            ("stopped", "stopped", "stopped"),
        )
        if counts[key]
    ]
    figures = [
        Total("Servers", "server", str(counts["running"]), f"of {counts['all']} running", url, badges),
        Total("Players", "users", str(counts["players"] or 0), "online"),
    ]
    broken = statement(("newest broken servers", user.reach), lambda: _newest_broken(user)).rows()
    return Contribution(figures, [_concern(ListedServer(row)) for row in broken])


IS_RUNNING: Final = Q(observed_status=ObservedStatus.RUNNING)
COUNTS: Final = {
    "all": CountOf("pk"),
    "running": CountOf("pk", filter=IS_RUNNING),
    "failed": CountOf("pk", filter=Q(observed_status__in=BROKEN, desired_status=DesiredStatus.RUNNING)),
    "busy": CountOf("pk", filter=Q(observed_status__in=IN_PROGRESS)),
    "stopped": CountOf("pk", filter=Q(observed_status=ObservedStatus.STOPPED)),
    "players": Sum(Cast(KeyTextTransform("players", "facts"), IntegerField()), filter=IS_RUNNING),
}


def _counts(user: Any) -> Any:
    return totals(GameServer.objects.visible_to(user).alive(), **COUNTS)


def _newest_broken(user: Any) -> Any:
    return listed_columns(_broken_servers(user).order_by("-observed_at"))[:CONCERNS]


def _concern(server: ListedServer) -> Concern:
    shown = workload_badge(server)
    text = f"{shown.word}. {shown.why}".strip() if shown.why else f"{shown.word} on {server.node}."
    url = reverse("servers:server_detail", args=[server.id])
    return Concern(shown.tone, shown.shape, server.name, text, url, server.observed_at)


def _find(user: Any, text: str) -> Iterable[palette.Hit]:
    """Servers, and for the best one what may be done with it."""
    found = list(find(GameServer.objects.visible_to(user).alive().with_details(), text)[: palette.PER_GROUP])
    for server in found:
        address = str(server.address or "")
        note = ", ".join(filter(None, ("Server", workload_badge(server).word.lower(), address)))
        yield palette.Hit(server.name, server.get_absolute_url(), "server", note, address)
    for server in found[:1]:
        allowed = allowed_actions(server, user)
        pages = (("Log", "log", "terminal", "reveal_credentials"), ("Settings", "settings", "sliders", "rename"))
        for label, page, icon, verb in pages:
            if not allowed[verb]:
                url = reverse(f"servers:server_{page}", args=[server.pk])
                yield palette.Hit(f"{label} of {server.name}", url, icon, is_action=True)
        for verb, icon in (("start", "play"), ("stop", "stop"), ("restart", "restart")):
            if not allowed[verb]:
                url, label = reverse(f"servers:server_{verb}", args=[server.pk]), f"{verb.capitalize()} {server.name}"
                yield palette.Hit(label, url, icon, is_action=True, is_post=True)
        for verb in ("kill", "delete"):
            if not allowed[verb]:
                url = reverse(f"servers:server_{verb}", args=[server.pk])
                label = f"{verb.capitalize()} {server.name}…"
                yield palette.Hit(label, url, "trash" if verb == "delete" else "kill", "asks first", is_action=True)
    if can(user, "templates.view"):
        for template in find_template(Template.objects.visible_to(user), text)[: palette.PER_GROUP]:
            yield palette.Hit(template.name, template.get_absolute_url(), "box", f"Template, {template.game}")


overview.contribute(10, _overview)
palette.register(_find)
palette.offer(
    palette.Way(
        "New server",
        "servers:server_create",
        "plus",
        lambda user: can(user, "servers.create"),
        words="create game",
        is_action=True,
    ),
    palette.Way(
        "New template",
        "servers:template_create",
        "plus",
        lambda user: can(user, "templates.change"),
        words="create game",
        is_action=True,
    ),
)
