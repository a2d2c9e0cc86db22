"""A node, and the engine that is played on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hub.engines.fake import FakeEngine
from hub.nodes.models import Node

from .factories import NodeFactory


@pytest.fixture
def node(db: None) -> Node:
    return NodeFactory()


@pytest.fixture
def engine(node: Node) -> Iterator[FakeEngine]:
    FakeEngine.reset()
    yield FakeEngine(node=node.name, options={})
    FakeEngine.reset()
