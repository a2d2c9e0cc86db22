"""Small pieces of pages as template tags: icons, states, times, sizes, copy buttons; larger ones are `components/`."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from html import escape
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hub.pages.states import Badge, badge, workload_badge

register = template.Library()
MUCH, NEARLY_ALL = 80, 95  # per cent
NEVER = SafeString('<span class="k-faint">never</span>')


@lru_cache(maxsize=256)
def _icon(name: str, css: str) -> SafeString:
    return format_html(
        '<svg class="k-ico{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f" {css}" if css else "",
        static("icons/sprite.svg"),
        name,
    )


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """An icon of the sprite; decoration only, so hidden from screen readers."""
    return _icon(name, css)


def badge_html(shown: Badge, *, pill: bool = False, lines: bool = True) -> SafeString:
    """A state as shape and word, and (unless `lines` is off) its bar and reason below."""
    html = format_html(
        '<span class="k-st k-st-{}{}">{}<span>{}</span></span>',
        shown.tone,
        " k-pill" if pill else "",
        _icon(shown.shape, "k-spin" if shown.turns else ""),
        shown.word,
    )
    if not lines:
        return html
    if shown.percent is not None:
        html += format_html(
            '<progress class="k-bar k-{}" value="{}" max="100" aria-label="{}"></progress>',
            shown.tone,
            shown.percent,
            shown.word,
        )
    if shown.why:
        html += format_html('<span class="k-st-why">{}</span>', shown.why)
    return html


@register.simple_tag
def bar(percent: int, label: str) -> SafeString:
    """How much of something is taken, in the colour of a warning where little is left. The label is the hub's own."""
    tone = " k-bad" if percent >= NEARLY_ALL else " k-warn" if percent >= MUCH else ""
    said = f"{label}, {percent} per cent"
    return SafeString(f'<progress class="k-bar{tone}" value="{percent}" max="100" aria-label="{said}"></progress>')


@register.simple_tag
def state(kind: str, value: Any, why: str = "", *, pill: bool = False) -> SafeString:
    """Any state of the map: `{% state "operation" operation.status operation.error %}`."""
    return badge_html(badge(kind, str(value), why=why), pill=pill, lines=not pill)


@register.simple_tag
def workload_state(workload: Any, *, pill: bool = False) -> SafeString:
    """The state of a server or instance, with progress and reason unless shown as a pill."""
    return badge_html(workload_badge(workload), pill=pill, lines=not pill)


@register.simple_tag
def show_badge(shown: Badge, *, pill: bool = False) -> SafeString:
    """A badge that a view made."""
    return badge_html(shown, pill=pill, lines=not pill)


def relative(moment: datetime, now: datetime | None = None) -> str:
    """`12 s ago`, `3 min ago`, `yesterday`, `in 5 min`; a date when it is long ago. `app.js` says it the same way."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    if abs(seconds) >= 30 * 86_400:
        return f"{timezone.localtime(moment):%-d %b %Y}"
    if 86_400 <= seconds < 2 * 86_400:
        return "yesterday"
    text = span(timedelta(seconds=abs(seconds)))
    return f"in {text}" if seconds < 0 else f"{text} ago"


def span(duration: timedelta) -> str:
    """A duration in its largest unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = int(duration.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@register.simple_tag
def ago(moment: datetime | None, css: str = "") -> SafeString:
    """A relative time that says the exact one, in the reader's zone, on hover."""
    return clock()(moment, css)


def clock() -> Callable[..., SafeString]:
    """`ago` for many times at once: what they have in common is asked once."""
    now, zone = timezone.now(), timezone.get_current_timezone()

    def said(moment: datetime | None, css: str = "") -> SafeString:
        if moment is None:
            return NEVER
        local = moment.astimezone(zone)
        shown = relative(moment, now)
        kind = f' class="{css}"' if css else ""
        at, exactly = moment.isoformat(timespec="seconds"), f"{local:%-d %b %Y, %H:%M:%S %Z}"
        return SafeString(f'<time{kind} datetime="{at}" title="{exactly}" data-ago>{shown}</time>')

    return said


@register.filter
def lookup(table: dict[Any, Any], key: Any) -> Any:
    """The value of a key, None for none."""
    return table.get(key)


@register.filter
def attr(row: Any, name: str) -> Any:
    """An attribute whose name templates refuse, such as a private annotation."""
    return getattr(row, name, "")


@register.filter
def exact(moment: datetime | None) -> str:
    """An exact time in the reader's zone."""
    return f"{timezone.localtime(moment):%-d %b %Y, %H:%M:%S}" if moment else ""


@register.filter
def size(megabytes: float | None) -> str:
    """Mebibytes as people read them: `512 MiB`, `8 GiB`, `1.5 GiB`."""
    if megabytes is None:
        return "–"
    if megabytes < 1024:
        return f"{megabytes:.0f} MiB"
    gib = megabytes / 1024
    return f"{gib:.0f} GiB" if math.isclose(gib, round(gib), abs_tol=0.05) else f"{gib:.1f} GiB"


@register.filter
def disk(megabytes: float | None) -> str:
    """Disk as it is promised, in decimal units: `500 MB`, `10 GB`."""
    if megabytes is None:
        return "–"
    if megabytes < 1000:
        return f"{megabytes:.0f} MB"
    return f"{megabytes / 1000:.1f} GB".replace(".0 GB", " GB")


@register.filter
def cores(percent: float | None) -> str:
    """Per cent of one core as cores: `1 core`, `2.5 cores`."""
    if percent is None:
        return "–"
    text = f"{percent / 100:.2f}".rstrip("0").rstrip(".")
    return f"{text} core" if text == "1" else f"{text} cores"


@register.filter
def seconds(value: float | None) -> str:
    """A short duration with one decimal."""
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 60 else span(timedelta(seconds=value))


@register.filter
def action_words(action: str) -> str:
    """An audit action as words: `server.started` reads `started server`, `user.logged_in` just `logged in`."""
    noun, _, verb = action.partition(".")
    if verb.startswith("logged"):
        noun = ""
    return f"{verb.replace('_', ' ')} {noun.replace('_', ' ')}".strip()


@register.filter
def data_words(data: dict[str, Any]) -> list[str]:
    """What an audit entry adds, as short lines: changes as `name: old → new`."""
    before, after = data.get("before"), data.get("after")
    lines = []
    if isinstance(after, dict):
        old = before if isinstance(before, dict) else {}
        lines = [f"{key}: {_plain(old.get(key, '–'))} → {_plain(value)}" for key, value in after.items()]
    rest = {key: value for key, value in data.items() if key not in ("before", "after") and value not in (None, "", [])}
    return lines + [f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in rest.items()]


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "yes", False: "no"}[value]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@register.filter
def initials(name: str) -> str:
    """One or two letters for a face."""
    words = str(name).replace(".", " ").replace("-", " ").replace("_", " ").split()
    return "".join(word[0] for word in words[:2]).upper() if len(words) > 1 else str(name)[:2].upper()


@register.simple_tag
def copy_button(text: str, what: str = "") -> SafeString:
    """A button that copies; `app.js` shows it, because without scripts it could do nothing."""
    value, label = escape(str(text)), escape(what or "text")
    return SafeString(
        f'<button type="button" class="k-icon-btn k-sm k-js" data-copy="{value}"'
        f' title="Copy {label}" aria-label="Copy {label}">{_icon("copy", "")}</button>'
    )


@register.simple_tag
def copyable(text: str, what: str = "") -> SafeString:
    """A value in monospace with its copy button."""
    return SafeString(f'<span class="k-copy"><span>{escape(str(text))}</span>{copy_button(text, what)}</span>')


@register.simple_tag
def split(total: float, *parts: Any) -> SafeString:
    """A bar of shares: `{% split pool.total "a" pool.leased "b" pool.resting %}`; letters are in hub.css §9."""
    rects, at = [], 0.0
    for letter, amount in zip(parts[::2], parts[1::2], strict=True):
        share = min(100.0 - at, 100 * (amount or 0) / total) if total else 0.0
        rects.append((letter, f"{at:.2f}", f"{share:.2f}"))
        at += share
    return format_html(
        '<svg class="k-split" role="img" aria-label="{} per cent used">{}</svg>',
        f"{at:.0f}",
        format_html_join("", '<rect class="k-{}" x="{}%" width="{}%" height="8"/>', rects),
    )


@register.simple_tag(takes_context=True)
def theme_attribute(context: dict[str, Any]) -> SafeString:
    """The theme the person chose; nothing when he follows the system."""
    user = getattr(context.get("request"), "user", None)
    theme = getattr(user, "theme", "")
    return format_html(' data-bs-theme="{}"', theme) if theme in ("light", "dark") else SafeString("")
