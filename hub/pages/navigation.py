"""The left navigation: each app registers its places in `<app>/navigation.py`, the frame shows the usable ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

SECTIONS: Final = ("", "Servers", "Challenges", "Devices", "Monitoring", "Administration")


@dataclass(frozen=True)
class Count:
    """A number beside a place; a tone ("bad", "warn") when it needs attention."""

    number: int
    tone: str = ""


@dataclass(frozen=True)
class Place:
    """One entry. `count` costs at most one query; a count of zero is not shown."""

    section: str
    label: str
    url_name: str
    icon: str
    may_use: Callable[[Any], bool]
    count: Callable[[Any], Count | None] | None = None
    position: int = 50
    prefix: str = field(default="", compare=False)
    """Paths that begin so belong to this place; empty: the place's own address."""


@dataclass(frozen=True)
class Entry:
    """A place as one page shows it."""

    label: str
    url: str
    icon: str
    is_current: bool
    count: Count | None


_places: list[Place] = []


def register(*places: Place) -> None:
    """Add places; called once per app when Django starts."""
    _places.extend(place for place in places if place not in _places)
    _places.sort(key=lambda place: (SECTIONS.index(place.section), place.position))


def entries(request: HttpRequest) -> tuple[tuple[str, tuple[Entry, ...]], ...]:
    """The sections and places of this person, the current one marked."""
    usable = usable_places(request.user)
    current = max((len(place.prefix or url) for place, url in usable if _is_under(request.path, place, url)), default=0)
    sections: dict[str, list[Entry]] = {}
    for place, url in usable:
        is_current = _is_under(request.path, place, url) and len(place.prefix or url) == current
        count = place.count(request.user) if place.count else None
        entry = Entry(place.label, url, place.icon, is_current, count if count and count.number else None)
        sections.setdefault(place.section, []).append(entry)
    return tuple((section, tuple(places)) for section, places in sections.items())


def attention(sections: Iterable[tuple[str, Iterable[Entry]]]) -> int:
    """How many things need somebody, as the counts of the places say: the number on the bell."""
    counts = (place.count for _, places in sections for place in places)
    return sum(count.number for count in counts if count and count.tone)


def usable_places(user: Any) -> list[tuple[Place, str]]:
    """Every place of this person with its address, for the palette."""
    return [(place, url) for place in _places if place.may_use(user) and (url := _url(place.url_name))]


@lru_cache(maxsize=256)
def _url(url_name: str) -> str:
    try:
        return reverse(url_name)
    except NoReverseMatch:  # an app whose pages are not part of this installation
        return ""


def _is_under(path: str, place: Place, url: str) -> bool:
    prefix = place.prefix or url
    return path == prefix or (prefix != "/" and path.startswith(prefix))
