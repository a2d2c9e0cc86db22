"""Search or jump: objects by name, address or id, and actions, from what each app registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.urls import reverse

from .navigation import usable_places

PER_GROUP: Final = 8


@dataclass(frozen=True)
class Hit:
    """One result. `copy` is what the key `c` copies; an action is a page that asks or does, never a bare link, or with
    `is_post` a button: for what does no harm and is undone by its opposite.
    """

    label: str
    url: str
    icon: str
    note: str = ""
    copy: str = ""
    is_action: bool = False
    is_post: bool = False


@dataclass(frozen=True)
class Way:
    """A page that the navigation does not name: a form that makes something, or what stands behind another page.

    It is found by its label and by the other words that people use for it.
    """

    label: str
    url_name: str
    icon: str
    may_use: Callable[[Any], bool]
    words: str = ""
    note: str = ""
    is_action: bool = False

    def fits(self, text: str) -> bool:
        """Whether every word of the text begins a word of it."""
        said = f"{self.label} {self.words}".lower().split()
        return all(any(each.startswith(word) for each in said) for word in text.split())


Finder = Callable[[Any, str], Iterable[Hit]]
_finders: list[Finder] = []
_late: list[Finder] = []
_ways: list[Way] = []


def register(finder: Finder, *, is_late: bool = False) -> None:
    """Add a finder: given the person and the text, what he may see that fits. One query each.

    What a late one finds stands below all else: what is said of things is not to hide the things of that name.
    """
    finders = _late if is_late else _finders
    if finder not in finders:
        finders.append(finder)


def offer(*ways: Way) -> None:
    """Add ways to pages; called once per app when Django starts."""
    _ways.extend(way for way in ways if way not in _ways)


def find(user: Any, text: str) -> list[tuple[str, list[Hit]]]:
    """Groups of results: what to go to, then what to do."""
    text = text.strip()
    places = [
        Hit(place.label, url, place.icon, place.section or "Page")
        for place, url in usable_places(user)
        if text.lower() in place.label.lower()
    ]
    ways = [
        Hit(way.label, reverse(way.url_name), way.icon, way.note, is_action=way.is_action)
        for way in _ways
        if text and way.fits(text.lower()) and way.may_use(user)
    ]
    found = [hit for finder in _finders + _late for hit in finder(user, text)] if text else []
    objects = [hit for hit in found if not hit.is_action]
    actions = [hit for hit in [*found, *ways] if hit.is_action]
    places += [hit for hit in ways if not hit.is_action]
    groups = [("Go to", objects[: PER_GROUP * 2]), ("Do", actions[:PER_GROUP]), ("Pages", places[:PER_GROUP])]
    return [(title, hits) for title, hits in groups if hits]
