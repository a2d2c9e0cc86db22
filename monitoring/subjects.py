"""What the keys of subjects stand for, and who may see them: each app says so for its kind in `AppConfig.ready`.

Monitoring stores numbers for `server:<id>` and knows nothing of servers. The app behind a kind finds its objects among
those that a person may see; what it leaves out does not exist for that person.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.exceptions import NotFound


@dataclass(frozen=True)
class Subject:
    """One thing that is measured, as pages and rules know it. `limits` are by metric."""

    key: str
    name: str
    url: str = ""
    region: str = ""
    owner_id: int | None = None
    limits: Mapping[str, float] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.key.partition(":")[0]


Finder = Callable[[Any, Collection[str]], Iterable[Subject]]
_finders: dict[str, Finder] = {}


def register(kind: str, finder: Finder) -> None:
    """Say who finds the subjects of a kind: `finder(user, ids)`, where no user means the hub itself, who sees all."""
    _finders[kind] = finder


def visible(user: Any, keys: Iterable[str]) -> dict[str, Subject]:
    """Those of these subjects that the person may see; at most one query for each kind."""
    ids: dict[str, set[str]] = {}
    for key in keys:
        kind, _, id = key.partition(":")
        ids.setdefault(kind, set()).add(id)
    found: dict[str, Subject] = {}
    for kind, wanted in ids.items():
        if kind in _finders:
            found |= {subject.key: subject for subject in _finders[kind](user, wanted)}
    return found


def known(keys: Iterable[str]) -> dict[str, Subject]:
    """Those that there are, for the hub itself."""
    return visible(None, keys)


def one(user: Any, key: str) -> Subject:
    """A subject that the person may see. Raises `NotFound`."""
    subject = visible(user, [key]).get(key)
    if subject is None:
        raise NotFound("There is nothing measured by this name, or nothing that you may see.", field="subject")
    return subject
