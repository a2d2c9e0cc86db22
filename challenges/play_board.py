"""The board as its page shows it: tiles by category, filters as chips, and beside them how the team stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from challenges import scoring, services
from challenges.models import Event, Instance, Participation
from hub.pages.states import Badge, workload_badge

if TYPE_CHECKING:
    from challenges.scoring import Standing
    from challenges.services import Card


@dataclass(frozen=True)
class Tile:
    """A challenge with the team's own instance of it."""

    card: Card
    instance: Instance | None

    @property
    def badge(self) -> Badge | None:
        return workload_badge(self.instance) if self.instance else None


@dataclass(frozen=True)
class Group:
    """The challenges of a category; `solved` of `of` count those that the filter hides too."""

    category: str
    tiles: list[Tile]
    solved: int
    of: int


@dataclass(frozen=True)
class Filter:
    """A chip: what it shows, how many that are, and where it leads."""

    label: str
    count: int
    query: str
    is_on: bool


class Board:
    """All that the page shows to a team, or to somebody who looks after the event and has none."""

    def __init__(self, event: Event, participation: Participation | None, asked: Any) -> None:
        self.is_frozen = event.is_frozen
        self.cards = services.cards(event, participation)
        shown = {card.slug for card in self.cards}
        self.instances = [each for each in _instances(event, participation) if each.challenge.slug in shown]
        self.standing, self.teams = _standing(event, participation)
        self.show, self.category = asked.get("show", ""), asked.get("category", "")
        own = {each.challenge.slug: each for each in self.instances}
        self.tiles = [Tile(card, own.get(card.slug)) for card in self.cards]

    @property
    def groups(self) -> list[Group]:
        """By category, what the chosen filter shows."""
        groups = []
        for category in self._categories:
            tiles = [tile for tile in self.tiles if tile.card.category == category]
            if shown := [tile for tile in tiles if self._is_shown(tile)]:
                groups.append(Group(category, shown, sum(tile.card.is_solved for tile in tiles), len(tiles)))
        return groups

    @property
    def filters(self) -> list[Filter]:
        unsolved = sum(not card.is_solved for card in self.cards)
        chips = [self._chip("All", len(self.cards)), self._chip("Unsolved", unsolved, show="unsolved")]
        for category in self._categories:
            count = sum(card.category == category for card in self.cards)
            chips.append(self._chip(category, count, category=category))
        if self.instances:
            running = sum(tile.instance is not None for tile in self.tiles)
            chips.append(self._chip("With instance", running, show="instance"))
        return chips

    @property
    def address(self) -> str:
        """Where the team's instances are reached; "" while none has an address, or they have several."""
        hosts = {line.host for each in self.instances for line in each.connections}
        return hosts.pop() if len(hosts) == 1 else ""

    @property
    def facts(self) -> tuple[Any, ...]:
        """What changes the page, for its fingerprint."""
        shown = [
            (
                each.pk,
                each.observed_status,
                each.desired_status,
                each.progress_percent,
                each.expires_at,
                each.connections,
            )
            for each in self.instances
        ]
        return (self.cards, shown, self.standing, self.teams, self.is_frozen)

    @property
    def _categories(self) -> list[str]:
        return sorted({card.category for card in self.cards})

    def _is_shown(self, tile: Tile) -> bool:
        if self.category and tile.card.category != self.category:
            return False
        return {"unsolved": not tile.card.is_solved, "instance": tile.instance is not None}.get(self.show, True)

    def _chip(self, label: str, count: int, **query: str) -> Filter:
        asked = {name: value for name, value in (("show", self.show), ("category", self.category)) if value}
        return Filter(label, count, f"?{urlencode(query)}", query == asked)


def _instances(event: Event, participation: Participation | None) -> list[Instance]:
    if participation is None:
        return []
    rows = Instance.objects.filter(event=event, team=participation.team_id).alive().with_details()
    return list(rows.order_by("created_at"))


def _standing(event: Event, participation: Participation | None) -> tuple[Standing | None, int]:
    board = scoring.board(event)
    team = participation.team_id if participation else None
    return next((each for each in board if each.team_id == team), None), len(board)
