"""Search or jump: objects by name, address or id, and actions, from what each app registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

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


Finder = Callable[[Any, str], Iterable[Hit]]
_finders: list[Finder] = []
_late: list[Finder] = []


def register(finder: Finder, *, is_late: bool = False) -> None:
    """Add a finder: given the person and the text, what he may see that fits. One query each.

    What a late one finds stands below all else: what is said of things is not to hide the things of that name.
    """
    finders = _late if is_late else _finders
    if finder not in finders:
        finders.append(finder)


def find(user: Any, text: str) -> list[tuple[str, list[Hit]]]:
    """Groups of results: what to go to, then what to do."""
    text = text.strip()
    places = [
        Hit(place.label, url, place.icon, place.section or "Page")
        for place, url in usable_places(user)
        if text.lower() in place.label.lower()
    ]
    found = [hit for finder in _finders + _late for hit in finder(user, text)] if text else []
    objects = [hit for hit in found if not hit.is_action]
    actions = [hit for hit in found if hit.is_action]
    groups = [("Go to", objects[: PER_GROUP * 2]), ("Do", actions[:PER_GROUP]), ("Pages", places[:PER_GROUP])]
    return [(title, hits) for title, hits in groups if hits]
