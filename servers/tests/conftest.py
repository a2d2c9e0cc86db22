"""A fake node, its engine, and protocols that answer what the test says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts.models import User
from accounts.tests.factories import UserFactory
from hub.engines.fake import FakeEngine
from hub.nodes.models import Node
from servers import protocols
from servers.protocols import GameStatus, Unreachable

from .factories import make_node


class Games:
    """Stands in for every game's own protocol: `games.answer = None` makes them silent."""

    def __init__(self) -> None:
        self.answer: GameStatus | None = GameStatus(3, 20, "1.21", "A world", 1.25)
        self.asked: list[tuple[str, str, int]] = []

    def query(self, kind: str, host: str, port: int, timeout: float = 3.0) -> GameStatus:
        self.asked.append((kind, host, port))
        if self.answer is None:
            raise Unreachable(f"Nothing listens at {host} port {port}.")
        return self.answer


@pytest.fixture
def games(monkeypatch: pytest.MonkeyPatch) -> Games:
    games = Games()
    monkeypatch.setattr(protocols, "query", games.query)
    return games


@pytest.fixture
def node(db: None) -> Node:
    return make_node()


@pytest.fixture
def engine(node: Node) -> Iterator[FakeEngine]:
    FakeEngine.reset()
    yield FakeEngine(node=node.name, options={})
    FakeEngine.reset()


@pytest.fixture
def owner(db: None) -> User:
    return UserFactory(username="owner")


@pytest.fixture
def stranger(db: None) -> User:
    return UserFactory(username="stranger")


@pytest.fixture
def operator(db: None) -> User:
    return UserFactory(username="operator", role="Operator")


@pytest.fixture
def viewer(db: None) -> User:
    return UserFactory(username="viewer", role="Viewer")


@pytest.fixture
def admin(db: None) -> User:
    return UserFactory(username="chief", role="Admin")
