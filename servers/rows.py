"""The rows of the list of servers as markup.

Written here and not in a template because fifty rows of nine columns are most of the cost of the most visited page: a
template took four times as long for the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.pages.states import workload_badge
from hub.pages.templatetags.ui import ago, badge_html, copyable, cores, disk, icon, size

from .models import GameServer

NOTHING = mark_safe('<span class="k-faint">–</span>')
NO_ADDRESS = mark_safe('<td class="k-full"><span class="k-faint">none yet</span></td>')


def table_rows(servers: Iterable[GameServer], columns: Iterable[str]) -> SafeString:
    """One `<tr>` for each server, with a tick, the shown columns and its one button."""
    cells = [CELLS[key] for key in columns]
    return format_html_join("", "{}", ((_row(server, cells),) for server in servers))


def _row(server: GameServer, cells: list[Callable[[GameServer], SafeString]]) -> SafeString:
    shown = format_html_join("", "{}", ((cell(server),) for cell in cells))
    return format_html(
        '<tr><td class="k-pick"><label class="k-tick"><input class="form-check-input" type="checkbox" name="ids" '
        'value="{}" data-pick aria-label="Select {}"></label></td>{}{}</tr>',
        server.pk,
        server.name,
        shown,
        _button(server),
    )


def _button(server: GameServer) -> SafeString:
    """Stop what is meant to run, start the rest; the service decides again."""
    is_up = server.desired_status == DesiredStatus.RUNNING and server.observed_status != ObservedStatus.FAILED
    verb, label, picture = ("stop", "Stop", "stop") if is_up and not server.admin_state else ("start", "Start", "play")
    return format_html(
        '<td class="k-rowacts"><button class="btn btn-sm k-btn-sq btn-ghost" formaction="{}/{}" '
        'title="{label} {name}" aria-label="{label} {name}">{}</button></td>',
        server.get_absolute_url(),
        verb,
        icon(picture),
        label=label,
        name=server.name,
    )


def _name(server: GameServer) -> SafeString:
    return format_html(
        '<td class="k-lead"><a class="k-name" href="{}">{}</a><span class="k-sub">{}</span></td>',
        server.get_absolute_url(),
        server.name,
        server.template.name,
    )


def _address(server: GameServer) -> SafeString:
    address = server.address
    return format_html('<td class="k-full">{}</td>', copyable(str(address), "address")) if address else NO_ADDRESS


def _players(server: GameServer) -> SafeString:
    players = server.facts.get("players")
    if server.observed_status != ObservedStatus.RUNNING or players is None:
        return format_html('<td class="k-num k-wide" data-l="Players">{}</td>', NOTHING)
    most = server.facts.get("max_players") or "?"
    return format_html('<td class="k-num" data-l="Players">{} <span class="k-faint">/ {}</span></td>', players, most)


def _labelled(label: str, value: Callable[[GameServer], Any]) -> Callable[[GameServer], SafeString]:
    return lambda server: format_html('<td class="k-num" data-l="{}">{}</td>', label, value(server))


def _place(server: GameServer) -> SafeString:
    return format_html(
        '<td class="k-wide"><span>{}</span><span class="k-sub">{}</span></td>', server.node.name, server.owner.username
    )


CELLS: dict[str, Callable[[GameServer], SafeString]] = {
    "name": _name,
    "status": lambda s: format_html('<td class="k-full k-state-cell">{}</td>', badge_html(workload_badge(s))),
    "address": _address,
    "players": _players,
    "cpu": _labelled("Processor", lambda server: cores(server.cpu_percent)),
    "memory": _labelled("Memory", lambda server: size(server.memory_mb)),
    "disk": _labelled("Disk", lambda server: disk(server.disk_mb)),
    "place": _place,
    "region": _labelled("Region", lambda server: server.node.region.name),
    "created": lambda s: format_html('<td class="k-wide k-xl-only">{}</td>', ago(s.created_at, "k-faint")),
    "id": _labelled("Id", lambda server: format_html("<code>{}</code>", server.pk)),
}
