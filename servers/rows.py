"""The rows of the list of servers as markup.

Written here and not in a template because fifty rows of nine columns are most of the cost of the most visited page: a
template took five times as long for the same. What people typed passes through `text`; the rest is the hub's own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from html import escape

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.pages.states import workload_badge
from hub.pages.templatetags.ui import badge_html, bar, clock, copyable, cores, disk, icon, size

from .listed import ListedServer
from .measured import last_hour, usage_now

badge_of = lru_cache(maxsize=512)(badge_html)
cores_of, size_of, disk_of = (lru_cache(maxsize=256)(words) for words in (cores, size, disk))
MIB = 1024 * 1024
BUTTONS = {True: ("stop", "Stop", "stop"), False: ("start", "Start", "play")}


def text(value: object) -> str:
    """As Django escapes it, without the layers that make this work for lazy texts and marked ones: there are none."""
    return escape(str(value))


def table_rows(servers: Sequence[ListedServer], columns: Collection[str]) -> SafeString:
    """One `<tr>` for each server, with a tick, the shown columns and its one button."""
    cells, base, ago = [CELLS[key] for key in columns], reverse("servers:server_list"), clock()
    ids = [server.id for server in servers]
    usage = usage_now(ids)
    shapes = last_hour(ids) if "history" in columns else {}
    rows = [Row(each, usage.get(each.id, {}), shapes.get(each.id, ""), base, ago).markup(cells) for each in servers]
    return mark_safe("".join(rows))  # noqa: S308 - escaped pieces


class Row:
    """A server with what several cells need."""

    def __init__(
        self, server: ListedServer, usage: Mapping[str, float], shape: str, base: str, ago: Callable[..., str]
    ) -> None:
        self.server, self.usage, self.shape, self.ago = server, usage, shape, ago
        self.name = text(server.name)
        self.url = f"{base}{server.id}"

    def markup(self, cells: list[Callable[[Row], str]]) -> str:
        return (
            '<tr><td class="k-pick"><label class="k-tick"><input class="form-check-input" type="checkbox" name="ids" '
            f'value="{self.server.id}" data-pick aria-label="Select {self.name}"></label></td>'
            f"{''.join([cell(self) for cell in cells])}{self._button()}</tr>"
        )

    def _button(self) -> str:
        """Stop what is meant to run, start the rest; the service decides again."""
        server = self.server
        is_up = server.desired_status == DesiredStatus.RUNNING and server.observed_status != ObservedStatus.FAILED
        verb, label, shape = BUTTONS[is_up and not server.admin_state]
        return (
            f'<td class="k-rowacts"><button class="btn btn-sm k-btn-sq btn-ghost" formaction="{self.url}/{verb}" '
            f'title="{label} {self.name}" aria-label="{label} {self.name}">{icon(shape)}</button></td>'
        )


def _name(row: Row) -> str:
    made_from = f'<span class="k-sub">{text(row.server.template_name)}</span>'
    return f'<td class="k-lead"><a class="k-name" href="{row.url}">{row.name}</a>{made_from}</td>'


def _status(row: Row) -> str:
    return f'<td class="k-full k-state-cell">{badge_of(workload_badge(row.server))}</td>'


def _address(row: Row) -> str:
    address = row.server.address
    shown = copyable(address, "address") if address else '<span class="k-faint">none yet</span>'
    return f'<td class="k-full">{shown}</td>'


def _players(row: Row) -> str:
    facts = row.server.facts
    if row.server.observed_status != ObservedStatus.RUNNING or facts.get("players") is None:
        return '<td class="k-num k-wide" data-l="Players"><span class="k-faint">–</span></td>'
    players, most = text(facts["players"]), text(facts.get("max_players") or "?")
    return f'<td class="k-num" data-l="Players">{players} <span class="k-faint">/ {most}</span></td>'


def _place(row: Row) -> str:
    node, owner = text(row.server.node), text(row.server.owner)
    return f'<td class="k-wide"><span>{node}</span><span class="k-sub">{owner}</span></td>'


def _cpu(row: Row) -> str:
    limit, used = row.server.cpu_percent, row.usage.get("cpu_percent")
    return _share("Processor", used, limit, "" if used is None else f"{used / 100:.1f}", cores_of(limit))


def _memory(row: Row) -> str:
    limit, used = row.server.memory_mb, row.usage.get("memory_bytes")
    megabytes = None if used is None else used / MIB
    return _share("Memory", megabytes, limit, size(megabytes), size_of(limit))


def _share(label: str, used: float | None, limit: int, said: str, limit_said: str) -> str:
    """What is used of what is allowed, or only the latter where nothing was measured just now."""
    if used is None:
        return f'<td class="k-num" data-l="{label}">{limit_said}</td>'
    return (
        f'<td data-l="{label}"><div class="k-use k-xs"><span><b>{said}</b><span class="k-faint">{limit_said}</span>'
        f"</span>{bar(min(100, round(100 * used / limit)), f'{label} used')}</div></td>"
    )


def _labelled(label: str, value: Callable[[ListedServer], object]) -> Callable[[Row], str]:
    return lambda row: f'<td class="k-num" data-l="{label}">{text(value(row.server))}</td>'


CELLS: dict[str, Callable[[Row], str]] = {
    "name": _name,
    "status": _status,
    "address": _address,
    "players": _players,
    "cpu": _cpu,
    "memory": _memory,
    "disk": _labelled("Disk", lambda server: disk_of(server.disk_mb)),
    "history": lambda row: f'<td class="k-wide k-xl-only">{row.shape}</td>',
    "place": _place,
    "region": _labelled("Region", lambda server: server.region_name),
    "created": lambda row: f'<td class="k-wide k-xl-only">{row.ago(row.server.created_at, "k-faint")}</td>',
    "id": _labelled("Id", lambda server: server.id),
}
